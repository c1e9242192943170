import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ClusterId,
  clusterIdSchema,
  type DrainPlan,
  drainPlanSchema,
  type Evacuation,
  evacuationSchema,
  topologySchema,
} from '@freehold/contract'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type CommandContext, commandsAbout, printResult, type RunCommand } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { formatCount, formatFields, formatInstant, formatSeconds, formatTable } from '../format.ts'

interface DrainOptions {
  readonly toRegion?: string
  readonly toCluster?: string
  readonly maxConcurrent: number
  readonly dryRun?: boolean
  readonly watch?: boolean
  readonly yes?: boolean
}

const POLL_MS = 1_000

export function addClusterCommands(program: Command, run: RunCommand): void {
  const clusters = program.command('clusters').description('servers that hold tenants')

  const about = commandsAbout(clusters, run, '<cluster>', parseClusterId)

  about<DrainOptions>('drain', 'empty a cluster of its tenants, or go on with that', drain)
    .addOption(
      new Option('--to-region <region>', 'where they are to live; by default in the same region').conflicts(
        'toCluster',
      ),
    )
    .option('--to-cluster <cluster>', 'the cluster on which they are to live')
    .option('--max-concurrent <count>', 'moves at the same time, 1 to 100', parseCount(100), 2)
    .option('--dry-run', 'check each tenant, say what would be done, change nothing')
    .option('--watch', 'follow it to its end')
    .option('--yes', 'do not ask')

  about(
    'undrain',
    'let a cluster take tenants and moves again; what has begun goes to its end',
    async (context, id) => {
      const topology = await context.api.post(`/v1/clusters/${id}/undrain`, topologySchema)
      printResult(context, topology, () => `Cluster ${id} takes tenants and moves again.`)
      return EXIT.ok
    },
  )

  about('evacuation', 'how far the draining of a cluster is, or how it ended', async (context, id) => {
    printResult(context, await readEvacuation(context, id), describeEvacuation)
    return EXIT.ok
  })

  clusters
    .command('limit')
    .description('set how many moves from and to a cluster may be under way at the same time')
    .argument('<cluster>', 'id', parseClusterId)
    .argument('<moves>', '1 to 1000', parseCount(1_000))
    .action((id: ClusterId, maxMoves: number, _options: object, command: Command) =>
      run(command, async (context) => {
        const topology = await context.api.patch(`/v1/clusters/${id}`, topologySchema, { maxMoves })
        printResult(context, topology, () => `At most ${maxMoves} moves from and to ${id} at the same time.`)
        return EXIT.ok
      }),
    )
}

async function drain(context: CommandContext, id: ClusterId, options: DrainOptions): Promise<ExitCode> {
  const { toRegion, toCluster, maxConcurrent } = options
  const to =
    toCluster !== undefined
      ? { cluster: toCluster }
      : toRegion !== undefined
        ? { region: toRegion }
        : undefined
  const path = `/v1/clusters/${id}/drain`
  const request = { to, maxConcurrent }
  if (options.dryRun === true || (!context.json && options.yes !== true)) {
    const plan = await planDrain(context, path, request)
    printResult(context, plan, describePlan)
    if (options.dryRun === true) return EXIT.ok
    if (!(await context.terminal.confirm(`Drain ${id} now?`))) return EXIT.ok
  }
  const evacuation = await context.api.post(path, evacuationSchema, request)
  if (options.watch === true) return watchEvacuation(context, id)
  printResult(
    context,
    evacuation,
    ({ left }) =>
      `Cluster ${id} is being emptied of ${formatCount(left)} ${left === 1 ? 'tenant' : 'tenants'}. See how far: freehold clusters evacuation ${id}`,
  )
  return EXIT.ok
}

/** Has all tenants checked, some with each request. */
async function planDrain(context: CommandContext, path: string, request: object): Promise<DrainPlan> {
  const check = (after?: string) =>
    context.api.post(path, drainPlanSchema, { ...request, dryRun: true, after })
  let plan = await check()
  while (plan.next !== null) {
    context.terminal.remark(
      `Checked ${formatCount(plan.tenants.length)} of ${formatCount(plan.left)} tenants ...`,
    )
    const further = await check(plan.next)
    plan = { ...further, tenants: [...plan.tenants, ...further.tenants] }
  }
  return plan
}

/** Shows an evacuation whenever it has gone on, until it has ended. */
async function watchEvacuation(context: CommandContext, id: ClusterId): Promise<ExitCode> {
  let said = ''
  for (;;) {
    const evacuation = await readEvacuation(context, id)
    const line = context.json ? JSON.stringify(evacuation) : summaryLine(evacuation)
    if (line !== said) context.terminal.print(line)
    said = line
    if (evacuation.finishedAt !== null) {
      if (!context.json) context.terminal.print(describeEvacuation(evacuation))
      return evacuation.left > 0 ? EXIT.error : EXIT.ok
    }
    await sleep(POLL_MS)
  }
}

function readEvacuation(context: CommandContext, id: ClusterId): Promise<Evacuation> {
  return context.api.get(`/v1/clusters/${id}/evacuation`, evacuationSchema)
}

function summaryLine({ moved, moving, waiting, refused }: Evacuation): string {
  return `${formatCount(moved)} moved, ${formatCount(moving)} moving, ${formatCount(waiting)} waiting, ${formatCount(refused)} refused`
}

/** `12 tenants an hour, 3 min 20 s left` */
function paceText({ tenantsPerHour, etaSeconds }: Evacuation): string | null {
  if (tenantsPerHour === null) return null
  const left = etaSeconds === null ? '' : `, about ${formatSeconds(etaSeconds)} left`
  return `${formatCount(tenantsPerHour)} tenants an hour${left}`
}

function describeEvacuation(evacuation: Evacuation): string {
  const fields = formatFields([
    ['Cluster', evacuation.cluster],
    ['To', targetText(evacuation.target)],
    ['Tenants', summaryLine(evacuation)],
    ['Left', formatCount(evacuation.left)],
    ['Rate', paceText(evacuation)],
    ['Started', `${formatInstant(evacuation.createdAt)} by ${evacuation.createdBy}`],
    ['Ended', evacuation.finishedAt && formatInstant(evacuation.finishedAt)],
  ])
  const open = evacuation.tenants.filter(({ state }) => state !== 'moved')
  if (open.length === 0) return fields
  const table = formatTable(
    ['TENANT', 'STATE', 'ATTEMPTS', 'NEXT', 'MOVE', 'PROBLEM'],
    open.map(({ tenant, state, attempts, nextAttemptAt, move, problem }) => [
      tenant.slug,
      state,
      formatCount(attempts),
      nextAttemptAt === null ? '' : formatInstant(nextAttemptAt),
      move ?? '',
      problem === null ? '' : `${problem.code}: ${problem.detail}`,
    ]),
  )
  return `${fields}\n\n${table}`
}

function describePlan({ cluster, target, left, tenants }: DrainPlan): string {
  const heading = `${formatCount(left)} tenants are to leave ${cluster} for ${targetText(target)}, one after the other or a few at a time; nothing new is placed on it.`
  if (tenants.length === 0) return heading
  const table = formatTable(
    ['TENANT', 'TO', 'PROBLEM'],
    tenants.map(({ tenant, to, problem }) => [
      tenant.slug,
      to ?? '',
      problem === null ? '' : `${problem.code}: ${problem.detail}`,
    ]),
  )
  return `${heading}\n\n${table}`
}

const targetText = (target: Evacuation['target']) =>
  'region' in target ? `region ${target.region}` : `cluster ${target.cluster}`

function parseClusterId(text: string): ClusterId {
  const id = clusterIdSchema.safeParse(text)
  if (id.success) return id.data
  throw new InvalidArgumentError('It must be the id of a cluster, as `freehold topology` shows it.')
}

function parseCount(most: number): (text: string) => number {
  return (text) => {
    const count = Number(text)
    if (Number.isInteger(count) && count >= 1 && count <= most) return count
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${most}.`)
  }
}
