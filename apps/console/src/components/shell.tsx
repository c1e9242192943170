import { AppShell, Burger } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { type ReactNode, useEffect, useRef } from 'react'
import { useLocation } from 'wouter'
import { Logo } from './logo.tsx'
import { Navigation } from './navigation.tsx'
import { OperatorMenu } from './operator-menu.tsx'
import classes from './shell.module.css'

/** Navigation at the left, the page beside it; on a narrow screen the navigation opens over the page. */
export function Shell({ children }: { children: ReactNode }) {
  const [opened, { toggle, close }] = useDisclosure()
  const main = useFocusOnNavigation(close)
  return (
    <AppShell
      header={{ height: { base: 52, sm: 0 } }}
      navbar={{ width: 216, breakpoint: 'sm', collapsed: { mobile: !opened } }}
      classNames={{ navbar: classes.navbar ?? '', header: classes.header ?? '' }}
    >
      <a href="#main" className={classes.skip}>
        Skip to content
      </a>
      <AppShell.Header hiddenFrom="sm">
        <Logo />
        <Burger
          size="sm"
          opened={opened}
          onClick={toggle}
          aria-expanded={opened}
          aria-label={opened ? 'Close navigation' : 'Open navigation'}
        />
      </AppShell.Header>
      <AppShell.Navbar mod={{ opened }}>
        <div className={classes.brand}>
          <Logo />
        </div>
        <Navigation onNavigate={close} />
        <OperatorMenu />
      </AppShell.Navbar>
      <AppShell.Main id="main" ref={main} tabIndex={-1}>
        {children}
      </AppShell.Main>
    </AppShell>
  )
}

/** After a step to another page, keyboard and screen reader go on at its beginning, not at the old link. */
function useFocusOnNavigation(onNavigate: () => void) {
  const [path] = useLocation()
  const main = useRef<HTMLElement>(null)
  const shown = useRef(path)
  useEffect(() => {
    if (shown.current === path) return
    shown.current = path
    onNavigate()
    main.current?.focus({ preventScroll: true })
    window.scrollTo(0, 0)
  }, [path, onNavigate])
  return main
}
