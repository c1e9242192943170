import { type DatabaseAddress, inTransaction, withClient } from '@freehold/postgres'
import type { Ledger } from '../ledger/ledger.ts'
import { allTables } from '../ledger/tables.ts'
import { Findings } from './findings.ts'
import type { ProofReport, ProveOptions } from './proof-report.ts'
import { readTable } from './read-table.ts'
import { TenantProof } from './tenant-proof.ts'

/**
 * The clients' own proof: reads every row of the tenants' homes, past router and row security, and compares it with
 * what the clients were told. Shares no code with the mover's verification.
 *
 * @throws Error when the home of a tenant of the ledger is not named.
 */
export async function proveLedger(ledger: Ledger, { homes, empty = [] }: ProveOptions): Promise<ProofReport> {
  const findings = new Findings()
  const databases = new Map<string, { address: DatabaseAddress; tenants: Set<string> }>()
  for (const address of [...homes.map((home) => home.database), ...empty]) {
    databases.set(nameOf(address), { address, tenants: new Set() })
  }
  for (const { tenantId, database } of homes) databases.get(nameOf(database))?.tenants.add(tenantId)
  for (const tenantId of ledger.tenants.keys()) {
    if (!homes.some((home) => home.tenantId === tenantId))
      throw new Error(`where does tenant ${tenantId} live?`)
  }
  for (const { address, tenants } of databases.values())
    await proveDatabase(address, tenants, ledger, findings)
  return findings.report()
}

async function proveDatabase(
  address: DatabaseAddress,
  tenants: ReadonlySet<string>,
  ledger: Ledger,
  findings: Findings,
): Promise<void> {
  const database = nameOf(address)
  const proofs = new Map(
    [...tenants].map((id) => [id, new TenantProof(ledger.tenant(id), database, findings)]),
  )
  await withClient(address, 'load-proof', (client) =>
    inTransaction(
      client,
      async () => {
        for (const table of allTables) {
          for await (const row of readTable(client, table)) {
            findings.rows++
            const proof = proofs.get(row.tenantId)
            if (proof !== undefined) proof.take(table.name, row)
            else {
              const key = row.key.join(' ')
              findings.add({ finding: 'foreign', database, tenantId: row.tenantId, table: table.name, key })
            }
          }
        }
      },
      'begin isolation level repeatable read read only',
    ),
  )
  for (const proof of proofs.values()) proof.finish()
}

const nameOf = ({ host, port, database }: DatabaseAddress): string => `${host}:${port}/${database}`
