import { quoteTable } from '@freehold/postgres'
import { allEnded } from '../all-ended.ts'
import { analyzeCoarsely, type BarePart } from '../database/structure.ts'
import type { TablePair } from '../database/tables.ts'
import type { Pace } from '../move/pace.ts'
import { type CopyEnds, type CopyStream, withCopyStream } from './copy-stream.ts'
import { copyTable } from './copy-table.ts'
import type { CopiedRows, RowSink } from './row-sink.ts'
import { type Task, TaskGraph } from './task-graph.ts'

export interface LoadTables {
  readonly ends: CopyEnds
  readonly into: RowSink
  /** The first are begun first. */
  readonly tables: readonly TablePair[]
  /**
   * What bare tables at the target lack, in an order in which it can be put back; nothing, where others use the tables. Until
   * it is there, nothing is copied.
   */
  readonly parts: Promise<readonly BarePart[]>
  /** So many tables are worked on at the same time. */
  readonly streams: number
  readonly pace: Pace
  readonly signal: AbortSignal
  /** Called for rows that are there before all of their table are, where they come bit by bit. */
  readonly onRows: (table: TablePair, copied: CopiedRows) => void
  readonly onCopied: (table: TablePair, copied: CopiedRows) => Promise<void>
}

type LoadTask = Task<CopyStream>

/**
 * Copies tables, into bare ones as a rule, and puts back what these lack, each part as soon as the rows that it needs are there: while
 * one stream copies a table, another builds on those that are copied.
 */
export async function loadTables(load: LoadTables): Promise<void> {
  const failed = new AbortController()
  const signal = AbortSignal.any([load.signal, failed.signal])
  const graph = load.parts.then((parts) => new TaskGraph(loadTasks(load, parts, signal)))
  const streams = Array.from({ length: load.streams }, () =>
    withCopyStream(load.ends, load.into, async (stream) => (await graph).work(stream, signal)).catch(
      (error: unknown) => {
        failed.abort(error)
        throw error
      },
    ),
  )
  await allEnded([graph, ...streams])
}

function loadTasks(
  { tables, pace, onRows, onCopied }: LoadTables,
  parts: readonly BarePart[],
  signal: AbortSignal,
): LoadTask[] {
  const copies = new Map<string, LoadTask>()
  for (const pair of tables) {
    copies.set(quoteTable(pair.target.table), {
      after: [],
      alone: [],
      run: async (stream) => {
        await pace.pass(0)
        await onCopied(pair, await copyTable(stream, pair, pace, (rows) => onRows(pair, rows), signal))
      },
    })
  }
  const onTables = (kind: BarePart['kind']) => parts.filter((part) => part.kind === kind)
  const builds = new Map([...copies].map(([table, copy]) => [table, buildTasks(table, copy, parts)]))
  const built = (table: string) => builds.get(table) ?? []

  // Tables that are not bare are others' as well: what they are is not for a load to settle.
  if (parts.length === 0) return [...copies.values()]
  const statistics = new Map(
    [...copies.keys()].map((table): [string, LoadTask] => [
      table,
      { after: built(table), alone: [table], run: ({ writers: [target] }) => analyzeCoarsely(target, table) },
    ]),
  )
  // Checked by a query: planned without statistics, it takes twice as long.
  const foreignKeys = onTables('foreign_key').map(
    (part): LoadTask => ({
      after: part.tables.flatMap((table) => statistics.get(table) ?? []),
      alone: part.tables,
      run: restore(part),
    }),
  )
  const tableTasks = [...copies].flatMap(([table, copy]) => [copy, ...built(table)])
  const whole = [...foreignKeys, ...statistics.values(), ...tableTasks]
  const settings: LoadTask = {
    after: whole,
    alone: [],
    run: restore(...onTables('setting')),
  }
  // A foreign key keeps others off both of its tables: left to the end, they would wait for each other.
  return [...whole, settings]
}

/** Keys one after the other, because each takes the table for itself; then the indexes, beside each other. */
function buildTasks(table: string, copy: LoadTask, parts: readonly BarePart[]): LoadTask[] {
  const on = parts.filter((part) => part.tables[0] === table)
  const tasks: LoadTask[] = []
  let last = copy
  for (const part of on.filter(({ kind }) => kind === 'key')) {
    last = { after: [last], alone: [], run: restore(part) }
    tasks.push(last)
  }
  for (const part of on.filter(({ kind }) => kind === 'index')) {
    tasks.push({ after: [last], alone: [], run: restore(part) })
  }
  return tasks.length > 0 ? tasks : [copy]
}

function restore(...parts: readonly BarePart[]): LoadTask['run'] {
  return async ({ writers: [target] }) => {
    await target.query(parts.map((part) => part.restore).join('; '))
  }
}
