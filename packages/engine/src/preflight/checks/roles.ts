import type { StreamKind } from '../../stream/choose-stream.ts'
import type { RoleFacts } from '../facts/server.ts'
import type { Finding } from '../finding.ts'

interface Cluster {
  readonly name: string
  readonly roles: readonly RoleFacts[]
}

type Right = 'login' | 'createdb' | 'replication' | 'signal' | 'statistics' | 'setReplicationRole'
type Needed = Readonly<Record<string, readonly Right[]>>

const MOVER: readonly Right[] = ['login', 'replication', 'signal', 'statistics', 'setReplicationRole']

const NEEDED: Readonly<Record<'source' | 'target', Needed>> = {
  source: { freehold_owner: ['login'], freehold_mover: MOVER, freehold_app: ['login'] },
  target: { freehold_owner: ['login', 'createdb'], freehold_mover: MOVER, freehold_app: ['login'] },
}

const RIGHTS: Readonly<Record<Right, string>> = {
  login: 'LOGIN',
  createdb: 'CREATEDB',
  replication: 'REPLICATION',
  signal: 'membership of pg_signal_backend',
  statistics: 'membership of pg_read_all_stats',
  setReplicationRole: 'SET on parameter session_replication_role',
}

/**
 * Whether the roles of Freehold are there, can do what a move needs, and no more than they should. Only who reads a server's log
 * needs the right to replicate there.
 */
export function checkRoles(
  source: Cluster,
  target: Cluster,
  { forth, back }: { readonly forth: StreamKind; readonly back: StreamKind | undefined },
): Finding[] {
  const unlessRead = (...streams: readonly (StreamKind | undefined)[]) =>
    streams.includes('logical') ? undefined : 'replication'
  if (source.name === target.name) return checkCluster(target, NEEDED.target, unlessRead(forth, back))
  return [
    ...checkCluster(source, NEEDED.source, unlessRead(forth)),
    ...checkCluster(target, NEEDED.target, unlessRead(back)),
  ]
}

function checkCluster({ name, roles }: Cluster, needed: Needed, unneeded?: Right): Finding[] {
  return Object.entries(needed).flatMap(([roleName, rights]) => {
    const role = roles.find((each) => each.name === roleName)
    const object = `${roleName} on ${name}`
    if (role === undefined)
      return [{ code: 'role_missing', object, found: `${name} has no role ${roleName}.` }]
    const missing = rights.filter((right) => right !== unneeded && !role[right]).map((right) => RIGHTS[right])
    const findings: Finding[] = []
    if (missing.length > 0) {
      const found = `${roleName} lacks ${missing.join(', ')} on ${name}.`
      findings.push({ code: 'role_right_missing', object, found })
    }
    if (role.unbounded) {
      const found = `${roleName} is a superuser or has BYPASSRLS on ${name}.`
      findings.push({ code: 'role_too_powerful', object, found })
    }
    return findings
  })
}
