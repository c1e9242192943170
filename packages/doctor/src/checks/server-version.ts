import type { Check } from '../check.ts'

interface Vulnerability {
  readonly id: string
  readonly what: string
  /** The first minor version of each major in which it is mended. */
  readonly fixedIn: Readonly<Record<number, number>>
  /** Majors before this one never had it. */
  readonly since: number
}

/**
 * By which SQL that a tenant may run gets past row security, or becomes the server. From the project's own advisories,
 * https://www.postgresql.org/support/security/<id>/, as recorded in github.com/CVEProject/cvelistV5 (assigned by the
 * PostgreSQL project); CVE-2023-39418 from https://www.postgresql.org/docs/15/release-15-4.html.
 */
const VULNERABILITIES: readonly Vulnerability[] = [
  {
    id: 'CVE-2023-2455',
    what: 'row security disregards a change of the user after inlining',
    fixedIn: { 12: 15, 13: 11, 14: 8, 15: 3 },
    since: 12,
  },
  {
    id: 'CVE-2023-39418',
    what: 'MERGE does not enforce the policies for UPDATE and SELECT',
    fixedIn: { 15: 4 },
    since: 15,
  },
  {
    id: 'CVE-2024-10976',
    what: 'row security below subqueries disregards a change of the user',
    fixedIn: { 12: 21, 13: 17, 14: 14, 15: 9, 16: 5, 17: 1 },
    since: 12,
  },
  {
    id: 'CVE-2024-10978',
    what: 'SET ROLE and SET SESSION AUTHORIZATION reset to the wrong user',
    fixedIn: { 12: 21, 13: 17, 14: 14, 15: 9, 16: 5, 17: 1 },
    since: 12,
  },
  {
    id: 'CVE-2025-8713',
    what: 'statistics of the planner show sampled rows that a policy hides',
    fixedIn: { 13: 22, 14: 19, 15: 14, 16: 10, 17: 6 },
    since: 12,
  },
  {
    id: 'CVE-2026-2006',
    what: 'a crafted query runs code as the server (multibyte text)',
    fixedIn: { 14: 21, 15: 16, 16: 12, 17: 8, 18: 2 },
    since: 12,
  },
  {
    id: 'CVE-2026-6473',
    what: 'crafted input overruns memory of the server',
    fixedIn: { 14: 23, 15: 18, 16: 14, 17: 10, 18: 4 },
    since: 12,
  },
  {
    id: 'CVE-2026-16239',
    what: 'a cursor that is made anew runs code as the server',
    fixedIn: { 14: 24, 15: 19, 16: 15, 17: 11, 18: 6 },
    since: 12,
  },
  {
    id: 'CVE-2026-120154',
    what: 'INSERT ... ON CONFLICT DO UPDATE, repeated, reads every row despite row security',
    fixedIn: { 14: 25, 15: 20, 16: 16, 17: 12, 18: 7 },
    since: 12,
  },
]

const NEWEST_KNOWN = 18

export const serverVersion: Check = {
  id: 'server-version',
  severity: 'blocking',
  why: 'Its row security can be got round by SQL that a tenant may run.',
  fix: 'Install the newest minor version of this major; a minor version needs a restart and no dump.',
  find: ({ serverVersion: version, serverVersionNumber }) => {
    const open = vulnerabilitiesOf(serverVersionNumber)
    if (open.length === 0) return []
    const list = open.map(({ id, what }) => `${id} (${what})`)
    return [{ object: `PostgreSQL ${version}`, found: `It has ${list.join('; ')}.` }]
  },
}

/** @param versionNumber `server_version_num`: 180004 is 18.4. */
export function vulnerabilitiesOf(versionNumber: number): Vulnerability[] {
  const [major, minor] = [Math.floor(versionNumber / 10_000), versionNumber % 10_000]
  return VULNERABILITIES.filter(({ fixedIn, since }) => {
    if (major < since || major > NEWEST_KNOWN) return false
    const fixed = fixedIn[major]
    if (fixed !== undefined) return minor < fixed
    // A major that got no fix: too old for one, or made after it.
    return major < Math.min(...Object.keys(fixedIn).map(Number))
  })
}
