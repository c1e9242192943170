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
import { printResult, type RunCommand } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { formatFields, formatInstant, formatPlacement, formatTable } from '../format.ts'
import { outcome, progressLine, reason, timelineLine } from '../move-view.ts'
import { addPageOptions, type PageOptions, withMore } from '../pages.ts'
import { watchMove } from '../watch-move.ts'

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

  moves
    .command('get')
    .description('a move with its timeline')
    .argument('<move>', 'id', parseMoveId)
    .action((id: OperationId, _options: object, command: Command) =>
      run(command, async (context) => {
        printResult(context, await context.api.get(`/v1/moves/${id}`, moveDetailSchema), describeMove)
        return EXIT.ok
      }),
    )

  moves
    .command('watch')
    .description('follow a move to its end; with --json one event a line')
    .argument('<move>', 'id', parseMoveId)
    .action((id: OperationId, _options: object, command: Command) =>
      run(command, (context) => watchMove(context, id)),
    )

  function order(name: string, description: string, done: string): void {
    moves
      .command(name)
      .description(description)
      .argument('<move>', 'id', parseMoveId)
      .action((id: OperationId, _options: object, command: Command) =>
        run(command, async (context) => {
          const move = await context.api.post(`/v1/moves/${id}/${name}`, moveSchema)
          printResult(context, move, () => `${done} Follow it: freehold moves watch ${id}`)
          return EXIT.ok
        }),
      )
  }

  order('cancel', 'give a move up; the tenant stays where it was', 'Asked for the move to be given up.')
  order(
    'pause',
    'have a move go no further; its change stream and what was copied stay',
    'The move is paused.',
  )
  order('resume', 'let a paused move go on', 'The move goes on.')
  order('approve', 'let the switch begin of a move that waits for its approval', 'The switch is approved.')
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
    ['From', formatPlacement(move.from)],
    ['To', formatPlacement(move.to)],
    ['Waiting', move.waiting && describeWait(move.waiting)],
    ['Progress', progressLine(move.progress)],
    ['Verified', verification && `${verification.rows} rows, ${verification.mismatches} differ`],
    ['Started', formatInstant(move.createdAt)],
    ['Ended', move.finishedAt && formatInstant(move.finishedAt)],
  ])
  const parts = [fields, move.events.map(timelineLine).join('\n'), outcome(move), reason(move)]
  return parts.filter((part) => part !== undefined).join('\n\n')
}
