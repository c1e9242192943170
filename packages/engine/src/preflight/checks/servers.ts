import { tableKey } from '../../database/table-key.ts'
import type { TableTrait } from '../facts/table-traits.ts'
import type { Finding } from '../finding.ts'

const OLDEST_SUPPORTED = 15
const NEWEST_TESTED = 18

interface Versioned {
  /** The cluster's name. */
  readonly name: string
  readonly versionNumber: number
}

/** Whether both servers are of a version with which a move works, and the target's has what the tables use. */
export function checkVersions(
  source: Versioned,
  target: Versioned,
  traits: readonly TableTrait[],
  schema: string,
): Finding[] {
  const sides = source.name === target.name ? [source] : [source, target]
  return [
    ...sides.flatMap(checkVersion),
    ...checkOlder(source, target),
    ...checkFeatures(target, traits, schema),
  ]
}

function checkVersion({ name, versionNumber }: Versioned): Finding[] {
  const major = majorOf(versionNumber)
  if (major >= OLDEST_SUPPORTED && major <= NEWEST_TESTED) return []
  const code = major < OLDEST_SUPPORTED ? 'server_unsupported' : 'server_untested'
  return [{ code, object: name, found: `${name} runs PostgreSQL ${major}.` }]
}

function checkOlder(source: Versioned, target: Versioned): Finding[] {
  const [from, to] = [majorOf(source.versionNumber), majorOf(target.versionNumber)]
  if (to >= from) return []
  const found = `${target.name} runs PostgreSQL ${to}, ${source.name} ${from}.`
  return [{ code: 'server_older', object: target.name, found }]
}

function checkFeatures(target: Versioned, traits: readonly TableTrait[], schema: string): Finding[] {
  return traits
    .filter(({ since }) => since !== null && since > majorOf(target.versionNumber))
    .map(({ schema: of, table, subject, since }) => {
      const key = tableKey({ schema: of, name: table }, schema)
      return {
        code: 'feature_missing',
        object: key,
        found: `${key} has the ${subject}, which PostgreSQL has since ${since}; ${target.name} is older.`,
      }
    })
}

/** Of the version number that a server tells: 170002 is 17. */
export function majorOf(versionNumber: number): number {
  return Math.floor(versionNumber / 10_000)
}
