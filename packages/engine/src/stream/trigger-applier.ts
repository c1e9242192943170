import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError } from '@freehold/contract'
import {
  clientConfig,
  closeClient,
  liftTimeouts,
  quoteLiteral,
  quoteTable,
  watchSilence,
} from '@freehold/postgres'
import pg from 'pg'
import type { TenantScope } from '../database/entered.ts'
import { useExactText } from '../database/exact-text.ts'
import { explainRefusedChange } from '../database/key-collision.ts'
import { sourceReaders } from '../database/source-readers.ts'
import { targetTaken, targetWriters } from '../database/target-claim.ts'
import {
  type ChangeTriggers,
  type ChangeTriggersRow,
  changeTriggersQuery,
  toChangeTriggers,
} from '../resources/change-triggers.ts'
import type { Applier, ChangedRows, Key, PointPatience, StreamRoute } from './change-stream.ts'
import { ChangedKeys } from './changed-keys.ts'
import { isTaken, type Misfits, PassedOver, unlessTaken } from './misfits.ts'
import { PAGE_KEYS, type PutRow, RowCarrier } from './row-carrier.ts'
import { secureLog } from './secure-log.ts'
import { TableStatements } from './table-statements.ts'

/** How often the source is asked for changes while there are none, ms. */
const POLL_MS = 50

/** A change as the triggers have noted it. */
interface NotedChange {
  readonly kind: 'row' | 'truncate' | 'unknown'
  readonly relation: string
  readonly key: string[] | null
}

/** The keys of one table's changed rows. */
interface TableKeys {
  readonly statements: TableStatements
  readonly keys: readonly Key[]
}

interface Page {
  readonly changes: readonly TableKeys[]
  readonly last: boolean
}

interface Round {
  /** Whether it looks whether the triggers are what they were. */
  readonly looksAtTriggers: boolean
  /** Called when the target is in the state of the round's snapshot, which the reader still looks at. */
  readonly applied: (triggers: ChangeTriggers | undefined) => void | Promise<void>
}

/**
 * Carries a tenant's changes to the target in rounds. A round looks at one snapshot of the source: which rows the
 * triggers have named until then, and what is in these rows then. It puts them to the target in one transaction, so
 * that the target goes from one committed state of the source to a later one; then it deletes what it has read of the
 * triggers' notes, and nothing else. In which order the rows were changed does not matter, and a round that is done
 * again, because its worker was cut off before the notes were deleted, does no harm: it only brings rows to a later state.
 */
export class TriggerApplier implements Applier {
  readonly #route: StreamRoute
  readonly #fencingToken: number
  readonly #misfits: Misfits
  readonly #tables: ReadonlyMap<string, TableStatements>
  /** Looks at one snapshot for each round. */
  readonly #reader: pg.Client
  /** Sees to it that what is read is safe at the source. */
  readonly #securer: pg.Client
  readonly #target: pg.Client
  readonly #failed = Promise.withResolvers<never>()
  readonly #closing = new AbortController()

  #turn: Promise<unknown> = Promise.resolve()
  /** A round that has not begun yet: it will see everything that is committed now. */
  #nextRound: Promise<void> | undefined
  #nextLooksAtTriggers = false
  #following: Promise<void> | undefined
  #changed: ChangedKeys | undefined = new ChangedKeys()
  readonly #passedOver = new PassedOver()
  #verifiedTriggers: string | undefined
  #changesApplied = 0
  #steps = 0
  #over = false

  private constructor(route: StreamRoute, fencingToken: number, misfits: Misfits) {
    this.#route = route
    this.#fencingToken = fencingToken
    this.#misfits = misfits
    this.#tables = new Map(
      route.tables.map((pair, index) => [quoteTable(pair.source.table), new TableStatements(pair, index)]),
    )
    const connect = (address: typeof route.from.mover, name: string) =>
      new pg.Client({ ...clientConfig(address, name), pipeline: true })
    this.#reader = connect(route.from.mover, sourceReaders(route.stream).follow)
    this.#securer = connect(route.from.mover, 'freehold-stream')
    this.#target = connect(route.to.mover, targetWriters(route.stream).apply)
    // Whoever waits sees the failure; when nobody does, it is seen by the next call.
    this.#failed.promise.catch(() => undefined)
  }

  /** Connects to both sides and begins to follow. */
  static async start(route: StreamRoute, fencingToken: number, misfits: Misfits): Promise<TriggerApplier> {
    const applier = new TriggerApplier(route, fencingToken, misfits)
    try {
      await applier.#connect()
    } catch (error) {
      await applier.close()
      throw error
    }
    applier.#following = applier.#follow()
    return applier
  }

  get changesApplied(): number {
    return this.#changesApplied
  }

  get steps(): number {
    return this.#steps
  }

  /** What the triggers have noted takes about as much room as the changes would in the log. */
  async lagBytes(): Promise<number> {
    const { from, name } = this.#route
    const measured = await this.#inTurn(() =>
      Promise.all([
        this.#reader.query('begin read only'),
        this.#reader.query(entry(from)),
        this.#reader.query<{ bytes: string }>(
          'select coalesce(sum(pg_column_size(change.*)), 0) as bytes from freehold.change where stream = $1',
          [name],
        ),
        this.#reader.query('commit'),
      ]),
    )
    return Number(measured[2].rows[0]?.bytes ?? 0)
  }

  async drain(timeoutMs: number, behind?: pg.ClientBase): Promise<number> {
    const started = performance.now()
    const timeout = AbortSignal.timeout(timeoutMs)
    const expired = new Promise<never>((_, reject) => {
      timeout.addEventListener('abort', () => reject(timeout.reason), { once: true })
    })
    const next = async () => {
      await behind?.query('select')
      this.#nextLooksAtTriggers = true
      await this.#round()
    }
    await Promise.race([next(), expired])
    return performance.now() - started
  }

  async atOnePoint<T>(
    { after, signal, isNext = false }: PointPatience,
    work: (snapshot: string) => Promise<T>,
  ): Promise<T> {
    await after
    let done: Promise<T> | undefined
    await this.#inTurn(async () => {
      signal.throwIfAborted()
      await this.#carryOver({
        looksAtTriggers: true,
        applied: async (triggers) => {
          this.#requireTriggers(triggers)
          if (!isNext) {
            this.#changed = new ChangedKeys()
            this.#verifiedTriggers = triggers?.version
          }
          const exported = await this.#reader.query<{ snapshot: string }>(
            'select pg_export_snapshot() as snapshot',
          )
          done = work(exported.rows[0]?.snapshot ?? '')
          await done.catch(() => undefined)
        },
      })
    })
    if (done === undefined) throw new Error('a round has ended that was never applied')
    return done
  }

  changedRows(): ChangedRows | undefined {
    return this.#changed?.rows
  }

  takeChangedRows(): ChangedRows | undefined {
    return this.#changed?.take()
  }

  giveBack(rows: ChangedRows): void {
    this.#changed?.giveBack(rows)
  }

  takePassedOver(): ReadonlyMap<string, number> {
    return this.#passedOver.take()
  }

  async close(): Promise<void> {
    this.#fail(new Error('the applier was closed'))
    // All at once: what is being applied may wait for ever at the target.
    await Promise.all([
      this.#turn,
      this.#following,
      ...[this.#reader, this.#securer, this.#target].map(closeClient),
    ])
  }

  async #connect(): Promise<void> {
    const clients = [this.#reader, this.#securer, this.#target]
    for (const client of clients) client.on('error', (error) => this.#fail(error))
    await Promise.all(clients.map((client) => client.connect()))
    const { from, to } = this.#route
    for (const client of clients) watchSilence(client, client === this.#target ? to.mover : from.mover)
    await Promise.all(clients.map(liftTimeouts))
    await Promise.all([useExactText(this.#reader), useExactText(this.#target)])
    // Triggers and foreign keys have had their effect at the source; firing them again would change rows twice.
    await this.#target.query("set session_replication_role = 'replica'")
  }

  async #follow(): Promise<void> {
    // Whoever asks for the lag first is told what there was to do.
    await this.#pause()
    while (!this.#over) {
      const before = this.#changesApplied
      await this.#round().catch(() => undefined)
      if (this.#changesApplied - before >= PAGE_KEYS) continue
      await this.#pause()
    }
  }

  async #pause(): Promise<void> {
    await sleep(POLL_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined)
  }

  /** A round that begins after this call, resolved when the target has what it has read. */
  #round(): Promise<void> {
    if (this.#nextRound !== undefined) return this.#nextRound
    const applied = Promise.withResolvers<void>()
    const round = this.#orFailure(applied.promise)
    this.#nextRound = round
    this.#inTurn(() => {
      this.#nextRound = undefined
      const looksAtTriggers = this.#nextLooksAtTriggers
      this.#nextLooksAtTriggers = false
      return this.#carryOver({
        looksAtTriggers,
        applied: (triggers) => {
          // What was changed while they were not at work, nobody has noted: everything is to be compared again.
          if (triggers !== undefined && triggers.version !== this.#verifiedTriggers) this.#changed = undefined
          applied.resolve()
        },
      })
    }).catch(() => undefined)
    return round
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => (this.#over ? this.#failed.promise : work()))
    this.#turn = turn.catch(() => undefined)
    return this.#orFailure(turn)
  }

  #orFailure<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failed.promise])
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#over = true
    this.#failed.reject(error)
    this.#closing.abort()
  }

  async #carryOver(round: Round): Promise<void> {
    try {
      const [triggers, first] = await Promise.all([this.#takeSnapshot(round), this.#openNotes()])
      const isIdle = first.changes.length === 0
      if (!isIdle && !(await this.#applyUnlessTaken(first))) await this.#applyWhatFits()
      await round.applied(triggers)
      // In the round's own snapshot: what has been noted since stays for the next.
      const forget = 'delete from freehold.change where stream = $1'
      await Promise.all([
        isIdle ? undefined : this.#reader.query(forget, [this.#route.name]),
        this.#reader.query('commit'),
      ])
    } catch (error) {
      const reason = await explainRefusedChange(this.#target, error, this.#route.tables)
      this.#fail(reason)
      throw reason
    }
  }

  async #takeSnapshot({ looksAtTriggers }: Round): Promise<ChangeTriggers | undefined> {
    const { from, name, tables } = this.#route
    const followed = tables.map((pair) => pair.source)
    const [, , watched] = await Promise.all([
      this.#reader.query('begin isolation level repeatable read'),
      this.#reader.query(entry(from)),
      looksAtTriggers
        ? this.#reader.query<ChangeTriggersRow>(changeTriggersQuery(name, followed))
        : undefined,
    ])
    return watched === undefined ? undefined : toChangeTriggers(watched.rows)
  }

  /** @returns false, and nothing has changed, when a row is refused because of one that the target has too many and misfits are passed over. */
  async #applyUnlessTaken(first: Page): Promise<boolean> {
    const isPatient = this.#misfits.arePassedOver()
    try {
      await this.#apply(first, (row) => this.#target.query(row))
      return true
    } catch (error) {
      if (!isPatient || !isTaken(error)) throw error
      await Promise.all([this.#target.query('rollback'), this.#reader.query('close all')])
      return false
    }
  }

  /** Puts the rows one after the other, and passes over those that are refused. */
  async #applyWhatFits(): Promise<void> {
    let turn: Promise<unknown> = Promise.resolve()
    await this.#apply(await this.#openNotes(), (row, { tables }) => {
      const put = turn.then(async () => {
        const fits = await unlessTaken(this.#target, () => this.#target.query(row))
        if (fits !== undefined) return
        this.#changed = undefined
        this.#passedOver.note(tables.source)
      })
      turn = put.catch(() => undefined)
      return put
    })
  }

  /** Puts the rows that were named to the target as the snapshot shows them. */
  async #apply(first: Page, put: PutRow): Promise<void> {
    const { to, stream, name } = this.#route
    const secured = secureLog(this.#securer, name)
    const begun = Promise.all([
      this.#target.query('begin'),
      this.#target.query(entry(to)),
      this.#target.query({
        name: 'claim',
        text: `update freehold.applied set updated_at = clock_timestamp()
               where stream = $1 and fencing_token = $2`,
        values: [stream, this.#fencingToken],
      }),
    ])
    // Whichever of them fails first is told; the others are not to be unhandled.
    for (const pending of [secured, begun]) pending.catch(() => undefined)
    const changed = await this.#rewrite(first, put)
    const [, , claim] = await begun
    if (claim.rowCount !== 1) throw targetTaken()
    await secured
    await this.#target.query('commit')
    this.#changesApplied += changed
  }

  /**
   * All rows go before the first comes back, because one may have what is unique of another.
   *
   * @returns how many rows were named.
   */
  async #rewrite(first: Page, put: PutRow): Promise<number> {
    const carrier = new RowCarrier(this.#reader, put)
    if (first.last) {
      const [removed] = await Promise.all([this.#remove(first), carry(carrier, first)])
      return removed
    }
    let removed = await this.#remove(first)
    for (let page = first; !page.last; ) {
      page = await this.#nextNotes()
      removed += await this.#remove(page)
    }
    await this.#reader.query('close notes')
    for (let page = await this.#openNotes(); ; page = await this.#nextNotes()) {
      await carry(carrier, page)
      if (page.last) return removed
    }
  }

  async #openNotes(): Promise<Page> {
    const noted = `select distinct kind, relation, key from freehold.change where stream = ${quoteLiteral(this.#route.name)}`
    const [, first] = await Promise.all([
      this.#reader.query(`declare notes no scroll cursor for ${noted}`),
      this.#nextNotes(),
    ])
    return first
  }

  async #nextNotes(): Promise<Page> {
    const { rows } = await this.#reader.query<NotedChange>(`fetch ${PAGE_KEYS} from notes`)
    this.#steps++
    const keys = new Map<TableStatements, Key[]>()
    for (const { kind, relation, key } of rows) {
      const statements = this.#tables.get(relation)
      if (kind === 'truncate') {
        throw new FreeholdError(
          'change_stream_failed',
          `${relation} was truncated at the source during the move.`,
        )
      }
      if (statements === undefined || key === null) {
        throw new FreeholdError('schema_mismatch', `${relation} was changed at the source during the move.`)
      }
      const known = keys.get(statements)
      if (known === undefined) keys.set(statements, [key])
      else known.push(key)
    }
    return {
      changes: [...keys].map(([statements, of]) => ({ statements, keys: of })),
      last: rows.length < PAGE_KEYS,
    }
  }

  async #remove({ changes }: Page): Promise<number> {
    await Promise.all(
      changes.map(({ statements, keys }) => {
        this.#changed?.remember(statements.tables, keys)
        return this.#target.query(statements.remove(keys))
      }),
    )
    return changes.reduce((sum, { keys }) => sum + keys.length, 0)
  }

  #requireTriggers(triggers: ChangeTriggers | undefined): void {
    const missing = [...this.#tables.keys()].filter((table) => !triggers?.carried.has(table))
    if (missing.length === 0) return
    throw new FreeholdError(
      'change_stream_failed',
      `Changes of ${missing.join(', ')} are not noted any more: triggers of the move were disabled or dropped.`,
    )
  }
}

async function carry(carrier: RowCarrier, { changes }: Page): Promise<void> {
  await Promise.all(changes.map(({ statements, keys }) => carrier.carry(statements, keys)))
}

/** Begins the mover's work as the tenant in the open transaction; as `enterAsMover`, in one statement that can be sent ahead. */
function entry({ entryKey, schema }: Pick<TenantScope, 'entryKey' | 'schema'>): pg.QueryConfig {
  const enter = "select set_config('freehold.entry', $1, true)"
  if (schema === 'public') return { text: enter, values: [entryKey] }
  return {
    text: `${enter}, set_config('search_path', quote_ident($2) || ', public', true)`,
    values: [entryKey, schema],
  }
}
