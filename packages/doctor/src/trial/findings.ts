import type { DoctorFinding } from '@freehold/contract'
import type { Attempt } from './attempts.ts'

/** Something that one tenant did to what is another's. */
export function succeeded(attempt: Attempt): DoctorFinding {
  return {
    check: attempt.id,
    severity: 'blocking',
    object: attempt.object,
    found: attempt.found,
    why: 'It was tried, and nothing refused it.',
    fix: 'Mend what the other findings say of the same object; this one goes when the attempt is refused.',
    sql: [],
  }
}

/** Something that was not proven. */
export function notTried(
  object: string,
  reason: string,
  fix = 'Remove the reason, or accept it knowingly: --allow trial-not-tried=<object>.',
): DoctorFinding {
  return {
    check: 'trial-not-tried',
    severity: 'blocking',
    object,
    found: `Not tried: ${reason}.`,
    why: 'What was not tried is not proven.',
    fix,
    sql: [],
  }
}
