import {
  type ChangeStreamChoice,
  changeStreamChoiceSchema,
  defaultIsolation,
  type Isolation,
  isBlocked,
  isolationSchema,
  movePlanSchema,
  moveSchema,
  type RelocationKind,
  type SwitchWindow,
  switchWindowSchema,
  tenantSchema,
  topologySchema,
} from '@freehold/contract'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { ApiClient } from '../api-client.ts'
import { printResult, type RunCommand } from '../context.ts'
import { parseDuration } from '../duration.ts'
import { EXIT } from '../exit-codes.ts'
import { describePlan } from '../plan-view.ts'
import { watchMove } from '../watch-move.ts'

interface RelocateOptions {
  readonly isolation?: Isolation
  readonly region?: string
  readonly cluster?: string
  readonly changeStream: ChangeStreamChoice
  readonly database?: string
  readonly rollbackWindow?: number
  readonly dryRun?: boolean
  readonly watch?: boolean
  readonly yes?: boolean
  readonly approve?: boolean
  readonly notBefore?: string
  readonly window?: SwitchWindow
  readonly maxRowsPerSecond?: number
  readonly repair?: boolean
}

/** A command that starts a move. What they differ in is where they lead. */
interface Relocation {
  readonly name: string
  readonly description: string
  readonly isolation: Option
  /** What it is where no isolation is named; undefined: one has to be. */
  readonly kind?: Exclude<RelocationKind, 'relocation'>
}

export function addRelocationCommands(tenants: Command, run: RunCommand): void {
  addRelocation(tenants, run, {
    name: 'promote',
    description: 'move a tenant to a database or schema of its own, while it keeps working',
    isolation: isolationOption(
      ['schema', 'silo'],
      'what its tier has, if that is more than it has now; else silo',
    ),
    kind: 'promotion',
  })
  addRelocation(tenants, run, {
    name: 'demote',
    description: 'move a tenant to the shared tables of a pool or a schema there, while it keeps working',
    isolation: isolationOption(
      ['pool', 'schema'],
      'what its tier has, if that is less than it has now; else pool',
    ),
    kind: 'demotion',
  })
  addRelocation(tenants, run, {
    name: 'move',
    description: 'move a tenant to another place, of whatever kind, while it keeps working',
    isolation: isolationOption(isolationSchema.options).makeOptionMandatory(),
  })
}

function isolationOption(choices: readonly Isolation[], otherwise?: string): Option {
  const ways = 'how it is to be kept apart: in shared tables, a schema or a database of its own'
  return new Option(
    '--isolation <isolation>',
    otherwise === undefined ? ways : `${ways}; by default ${otherwise}`,
  ).choices(choices)
}

/** What a command leads to that names no isolation. */
async function isolationFor(
  api: ApiClient,
  tenantIdOrSlug: string,
  kind: Exclude<RelocationKind, 'relocation'>,
): Promise<Isolation> {
  const { placement, tier } = await api.get(`/v1/tenants/${encodeURIComponent(tenantIdOrSlug)}`, tenantSchema)
  const { tiers } = await api.get('/v1/topology', topologySchema)
  const { isolation: ofTier } = tiers.find(({ id }) => id === tier) ?? placement
  return defaultIsolation(kind, placement.isolation, ofTier)
}

function addRelocation(
  tenants: Command,
  run: RunCommand,
  { name, description, isolation: isolationOption, kind }: Relocation,
): void {
  tenants
    .command(name)
    .description(description)
    .argument('<tenant>', 'id or slug')
    .addOption(isolationOption)
    .addOption(
      new Option('--region <region>', 'where it is to live; Freehold picks the cluster').conflicts('cluster'),
    )
    .option('--cluster <cluster>', 'the cluster on which it is to live')
    .option(
      '--database <pool>',
      'the pool of that cluster, for pool and schema; without it Freehold picks one',
    )
    .addOption(
      new Option(
        '--change-stream <kind>',
        "how its writes are followed, also back within the rollback window: by the server's log, or by triggers",
      )
        .choices(changeStreamChoiceSchema.options)
        .default('auto'),
    )
    .option(
      '--rollback-window <duration>',
      'how long it can be rolled back after the switch: 900, 30m, 12h, 7d; 0: not at all',
      parseDuration,
    )
    .option('--dry-run', 'run every check, say what would be done, change nothing')
    .option('--watch', 'follow the move to its end')
    .option('--approve', 'have the switch wait for `freehold moves approve`')
    .option('--not-before <time>', 'begin the switch no earlier, such as 2026-12-01T02:00Z', parseInstant)
    .option(
      '--window <from-to>',
      'begin the switch only then, such as 02:00-04:00,Europe/Berlin',
      parseWindow,
    )
    .option('--max-rows-per-second <count>', 'copy no faster', parseCount)
    .option('--repair', 'rewrite rows of the target that verification finds to differ, instead of giving up')
    .option('--yes', 'do not ask')
    .action((tenant: string, options: RelocateOptions, command: Command) => {
      const { region, cluster, database, changeStream } = options
      const { rollbackWindow: rollbackWindowSeconds, repair } = options
      if (region === undefined && cluster === undefined) {
        return command.error("error: option '--region <region>' or '--cluster <cluster>' is needed")
      }
      return run(command, async (context) => {
        const { approve, notBefore, window, maxRowsPerSecond } = options
        const isolation = options.isolation ?? (kind && (await isolationFor(context.api, tenant, kind)))
        const target = { isolation, region, cluster, database }
        const terms = { cutover: { approve, notBefore, window }, maxRowsPerSecond, repair }
        if (options.dryRun === true || (!context.json && options.yes !== true)) {
          const plan = await context.api.get('/v1/moves/plan', movePlanSchema, {
            tenant,
            changeStream,
            rollbackWindowSeconds,
            repair,
            ...target,
          })
          printResult(context, plan, () => describePlan(plan, context.terminal))
          if (isBlocked(plan)) return EXIT.findings
          if (options.dryRun === true) return EXIT.ok
          if (!(await context.terminal.confirm(`Move ${plan.tenant.slug} now?`))) return EXIT.ok
        }
        const move = await context.api.post('/v1/moves', moveSchema, {
          tenant,
          target,
          changeStream,
          ...terms,
          rollbackWindowSeconds,
        })
        if (options.watch === true) return watchMove(context, move.id)
        printResult(context, move, ({ id }) => `Started move ${id}. Follow it: freehold moves watch ${id}`)
        return EXIT.ok
      })
    })
}

function parseInstant(text: string): string {
  const instant = new Date(text)
  if (!Number.isNaN(instant.getTime()) && /Z$|[+-]\d\d:\d\d$/.test(text)) return instant.toISOString()
  throw new InvalidArgumentError('It must be an instant with its offset, such as 2026-12-01T02:00Z.')
}

function parseWindow(text: string): SwitchWindow {
  const [, from, to, tz] = /^([^-]*)-([^,]*)(?:,(.*))?$/.exec(text) ?? []
  const window = switchWindowSchema.safeParse({ from, to, tz })
  if (window.success) return window.data
  throw new InvalidArgumentError(
    'It must be two times of day and a time zone, such as 02:00-04:00,Europe/Berlin.',
  )
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be a whole number, at least 1.')
}
