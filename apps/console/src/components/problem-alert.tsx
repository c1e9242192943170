import { IconAlertTriangle } from '@tabler/icons-react'
import { problemOf } from '../api/problem-error.ts'
import classes from './problem-alert.module.css'

/** An error in full: what happened, this time, what to do next, and the code to look it up by. */
export function ProblemAlert({ error }: { error: unknown }) {
  const { title, detail, next, code, instance, issues } = problemOf(error)
  return (
    <div role="alert" className={classes.alert}>
      <IconAlertTriangle size={18} aria-hidden className={classes.icon} />
      <div className={classes.text}>
        <strong>{title}</strong>
        {detail !== title && <p>{detail}</p>}
        {issues?.map((issue) => (
          <p key={`${issue.path} ${issue.message}`}>
            <code>{issue.path}</code>: {issue.message}
          </p>
        ))}
        <p>
          <span className="dim">Next: </span>
          {next}
        </p>
        <p className={classes.reference}>
          <code>{code}</code>
          {instance !== undefined && (
            <>
              {' · request '}
              <code>{instance}</code>
            </>
          )}
        </p>
      </div>
    </div>
  )
}
