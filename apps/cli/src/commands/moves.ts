import {
  describeWait,
  type Move,
  type MoveDetail,
  moveDetailSchema,
  movePageSchema,
  moveSchema,
  type OperationId,
  operationIdSchema,
} from '@freehold/contract'
import { type Command, InvalidArgumentError } from 'commander'
import { commandsAbout, printResult, type RunCommand } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import {
  formatCount,
  formatFields,
  formatInstant,
  formatIsolations,
  formatPlacement,
  formatTable,
} from '../format.ts'
import { outcome, progressLine, reason, repairSummary, timelineLine, windowSummary } from '../move-view.ts'
import { addPageOptions, type PageOptions, withMore } from '../pages.ts'
import { watchMove } from '../watch-move.ts'

interface EndWindowOptions {
  readonly dryRun?: boolean
  readonly yes?: boolean
}

interface ListOptions extends PageOptions {
  readonly tenant?: string
  readonly active?: boolean
}

export function addMoveCommands(program: Command, run: RunCommand): void {
  const moves = program.command('moves').description('relocations of tenants')

  addPageOptions(moves.command('list'))
    .description('moves, newest first')
    .option('--tenant <tenant>', 'only those of this tenant (id or slug)')
    .option('--active', 'only those that have not ended')
    .action(({ tenant, active, limit, cursor }: ListOptions, command: Command) =>
      run(command, async (context) => {
        const page = await context.api.get('/v1/moves', movePageSchema, { tenant, active, limit, cursor })
        printResult(context, page, ({ items, nextCursor }) => withMore(moveTable(items), nextCursor))
        return EXIT.ok
      }),
    )

  const about = commandsAbout(moves, run, '<move>', parseMoveId)

  about('get', 'a move with its timeline', async (context, id) => {
    printResult(context, await context.api.get(`/v1/moves/${id}`, moveDetailSchema), describeMove)
    return EXIT.ok
  })

  about('watch', 'follow a move to its end; with --json one event a line', watchMove)

  const order = (name: string, description: string, done: string) =>
    about(name, description, async (context, id) => {
      const move = await context.api.post(`/v1/moves/${id}/${name}`, moveSchema)
      printResult(context, move, () => `${done} Follow it: freehold moves watch ${id}`)
      return EXIT.ok
    })

  order('cancel', 'give a move up; the tenant stays where it was', 'Asked for the move to be given up.')
  order(
    'pause',
    'have a move go no further; its change stream and what was copied stay',
    'The move is paused.',
  )
  order('resume', 'let a paused move go on', 'The move goes on.')
  order('approve', 'let the switch begin of a move that waits for its approval', 'The switch is approved.')

  /** A command that ends the rollback window of a move, one way or the other. */
  const endWindow = (
    verb: 'rollback' | 'finalize',
    description: string,
    says: { readonly before: (move: Move) => string; readonly question: string; readonly after: string },
  ) =>
    about<EndWindowOptions>(verb, description, async (context, id, { dryRun, yes }) => {
      const path = `/v1/moves/${id}/${verb}`
      if (dryRun === true || (!context.json && yes !== true)) {
        const move = await context.api.post(path, moveSchema, { dryRun: true })
        printResult(context, move, says.before)
        if (dryRun === true) return EXIT.ok
        if (!(await context.terminal.confirm(says.question))) return EXIT.ok
      }
      const move = await context.api.post(path, moveSchema)
      printResult(context, move, () => `${says.after} Follow it: freehold moves watch ${id}`)
      return EXIT.ok
    })
      .option('--dry-run', 'say whether it can be done and what it would do, change nothing')
      .option('--yes', 'do not ask')

  endWindow('rollback', 'take a tenant back to its old home, while the window is open', {
    before: (move) =>
      [
        `${move.tenant.slug} is to go back from ${formatPlacement(move.to)} to ${formatPlacement(move.from)},`,
        'with all that was written since the switch. It keeps working; writes are held for some milliseconds.',
        'Afterwards what was made at the target is removed.',
      ].join('\n'),
    question: 'Roll the move back now?',
    after: 'Asked for the move to be rolled back.',
  })

  endWindow('finalize', 'end the rollback window of a move now', {
    before: (move) =>
      [
        `${move.tenant.slug} stays at ${formatPlacement(move.to)},`,
        `and what it still has at ${formatPlacement(move.from)} is removed. The move cannot be rolled back any more.`,
      ].join('\n'),
    question: 'Finalize the move now?',
    after: 'The rollback window is closed.',
  })
}

function parseMoveId(text: string): OperationId {
  const id = operationIdSchema.safeParse(text)
  if (id.success) return id.data
  throw new InvalidArgumentError('It must be the id of a move, as `freehold moves list` shows it.')
}

function moveTable(moves: readonly Move[]): string {
  return formatTable(
    ['MOVE', 'TENANT', 'PHASE', 'FROM', 'TO', 'STARTED', 'WAITS FOR'],
    moves.map((move) => [
      move.id,
      move.tenant.slug,
      move.phase,
      formatPlacement(move.from),
      formatPlacement(move.to),
      formatInstant(move.createdAt),
      move.waiting?.for ?? '',
    ]),
  )
}

function describeMove(move: MoveDetail): string {
  const { verification } = move.progress
  const fields = formatFields([
    ['Move', move.id],
    ['Tenant', move.tenant.slug],
    ['Phase', move.cancelRequested ? `${move.phase}, to be given up` : move.phase],
    ['Kind', formatIsolations(move.from, move.to)],
    ['From', formatPlacement(move.from)],
    ['To', formatPlacement(move.to)],
    ['Waiting', move.waiting && describeWait(move.waiting)],
    ['Progress', progressLine(move.progress)],
    ['Rollback', windowSummary(move)],
    [
      'Verified',
      verification &&
        `${formatInstant(verification.at)}: ${formatCount(verification.rows)} rows; ${verification.mismatches} of ${verification.tables} tables differed${verification.changedSince === null ? '' : `; ${formatCount(verification.changedSince)} rows have changed since`}`,
    ],
    [
      'Reference tables',
      verification && verification.references.tables > 0
        ? `${verification.references.tables} in step, of ${formatCount(verification.references.rows)} rows`
        : null,
    ],
    ['Repair', repairSummary(move)],
    ['Started', formatInstant(move.createdAt)],
    ['Ended', move.finishedAt && formatInstant(move.finishedAt)],
  ])
  const parts = [fields, move.events.map(timelineLine).join('\n'), outcome(move), reason(move)]
  return parts.filter((part) => part !== undefined).join('\n\n')
}
