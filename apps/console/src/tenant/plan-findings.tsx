import { findingRegistry, type MoveFinding } from '@freehold/contract'
import { Tag } from '../components/tag.tsx'
import classes from './plan-view.module.css'

/** What the checks have found, by code; what blocks comes first. */
export function PlanFindings({ findings }: { readonly findings: readonly MoveFinding[] }) {
  const groups = [...Map.groupBy(findings, ({ code }) => code).entries()]
  if (groups.length === 0) return null
  return (
    <ul className={classes.findings} aria-label="Findings">
      {groups.map(([code, found]) => (
        <li key={code}>
          <Tag tone={found[0]?.severity === 'blocking' ? 'bad' : 'caution'}>{found[0]?.severity}</Tag>{' '}
          <strong>{findingRegistry[code].title}</strong>
          {found.map((finding) => (
            <p key={`${finding.object} ${finding.found}`}>{finding.found}</p>
          ))}
          <p>
            <span className="dim">Remedy: </span>
            {found[0]?.remedy}
          </p>
          <p className="dim">
            <code>{code}</code>
          </p>
        </li>
      ))}
    </ul>
  )
}
