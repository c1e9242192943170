import { useDocumentTitle } from '@mantine/hooks'
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import classes from './page.module.css'

interface PageProps {
  readonly title: string
  /** Tags beside the title. */
  readonly tags?: ReactNode
  /** The list that the page belongs to. */
  readonly parent?: { readonly label: string; readonly href: string }
  readonly subtitle?: ReactNode
  readonly actions?: ReactNode
  readonly children: ReactNode
}

/** The frame of every page: where it is, what it is about, what can be done, and below that the content. */
export function Page({ title, tags, parent, subtitle, actions, children }: PageProps) {
  useDocumentTitle(`${title} · Freehold`)
  return (
    <div className={classes.page}>
      <header className={classes.header}>
        <div className={classes.heading}>
          {parent !== undefined && (
            <nav aria-label="Breadcrumb" className={classes.parent}>
              <Link href={parent.href}>{parent.label}</Link>
              <span aria-hidden> /</span>
            </nav>
          )}
          <div className={classes.title}>
            <h1>{title}</h1>
            {tags}
          </div>
          {subtitle !== undefined && <div className={classes.subtitle}>{subtitle}</div>}
        </div>
        {actions !== undefined && <div className={classes.actions}>{actions}</div>}
      </header>
      {children}
    </div>
  )
}
