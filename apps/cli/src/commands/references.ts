import { type ReferenceSync, referenceSyncSchema, type Tenant, tenantPageSchema } from '@freehold/contract'
import type { Command } from 'commander'
import { type CommandContext, printResult, type RunCommand } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { formatCount, formatTable } from '../format.ts'

interface SyncOptions {
  readonly tenant?: string
  readonly dryRun?: boolean
}

const PAGE = 200

export function addReferenceCommands(program: Command, run: RunCommand): void {
  const references = program
    .command('references')
    .description('tables that hold the same rows for every tenant')

  references
    .command('sync')
    .description("bring those of silos and of tenants' own schemas in step with a pool of their region")
    .option('--tenant <tenant>', 'id or slug; every tenant when left out')
    .option('--dry-run', 'compare, say which differ, change nothing')
    .action(({ tenant, dryRun = false }: SyncOptions, command: Command) =>
      run(command, async (context) => {
        const results: ReferenceSync[] = []
        for await (const slug of homesOfTheirOwn(context, tenant)) {
          const path = `/v1/tenants/${encodeURIComponent(slug)}/references`
          results.push(await context.api.post(path, referenceSyncSchema, { dryRun }))
        }
        printResult(context, results, (all) => describe(all, dryRun))
        return EXIT.ok
      }),
    )
}

/** Tenants that have reference tables of their own. */
async function* homesOfTheirOwn({ api }: CommandContext, tenant: string | undefined): AsyncGenerator<string> {
  if (tenant !== undefined) {
    yield tenant
    return
  }
  let cursor: string | undefined
  do {
    const page = await api.get('/v1/tenants', tenantPageSchema, { limit: PAGE, cursor, own: true })
    yield* page.items.map(({ slug }: Tenant) => slug)
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined)
}

function describe(results: readonly ReferenceSync[], dryRun: boolean): string {
  const different = results.filter((result) => result.different.length > 0)
  const compared = `${formatCount(results.length)} ${results.length === 1 ? 'home' : 'homes'} compared`
  if (different.length === 0) return `${compared}: the reference tables of all are in step.`
  const table = formatTable(
    ['TENANT', 'POOL', 'TABLES'],
    different.map(({ tenant, from, different }) => [
      tenant.slug,
      from === null ? '-' : `${from.cluster}/${from.database}`,
      different.join(', '),
    ]),
  )
  const what = dryRun
    ? 'differ. Bring them in step: freehold references sync'
    : 'differed, and are in step now.'
  return `${table}\n\n${compared}; ${formatCount(different.length)} ${what}`
}
