import type { Cell } from '../ledger/cell.ts'
import {
  type Document,
  documentFromWire,
  documentsMatch,
  type Entity,
  rowMatches,
} from '../ledger/document.ts'
import type { Effect, TenantLedger } from '../ledger/ledger.ts'
import { cellsFromWire, columnIndex, tables } from '../ledger/tables.ts'
import { now, type Recorder, type RequestClass } from '../measure/recorder.ts'
import type { Answer, Method, ShopHttp } from './shop-http.ts'

export interface WriteRequest {
  readonly kind: string
  readonly requestClass: Exclude<RequestClass, 'read'>
  readonly method: Method
  readonly path: string
  readonly body?: unknown
  /** What the write does when it is acknowledged. The first is what the answer shows, unless it is a deletion. */
  readonly effects: readonly [Effect, ...Effect[]]
}

type WireRow = Readonly<Record<string, unknown>>

/** Sends requests, holds every answer against the ledger, and the ledger against every answer. */
export class Session {
  readonly ledger: TenantLedger
  readonly #http: ShopHttp
  readonly #recorder: Recorder

  constructor(http: ShopHttp, ledger: TenantLedger, recorder: Recorder) {
    this.#http = http
    this.ledger = ledger
    this.#recorder = recorder
  }

  /** Reads one entity that this client owns: the answer must show its last acknowledged state. */
  async readOne(kind: string, entity: Entity, id: string): Promise<void> {
    const expected = this.ledger.state(entity, id)
    const answer = await this.#timed(kind, 'read', 'GET', `/${entity}/${id}`, expected === null ? 404 : 200)
    if (answer !== undefined && expected !== null) this.checkRow(kind, entity, answer as WireRow)
  }

  /** Reads a list of an entity's rows. @returns undefined when the request failed. */
  async readList(kind: string, path: string): Promise<readonly WireRow[] | undefined> {
    const answer = await this.#timed(kind, 'read', 'GET', path, 200)
    return (answer as { items: WireRow[] } | undefined)?.items
  }

  /** Holds one complete row of the answer to a read against the ledger. */
  checkRow(kind: string, entity: Entity, wire: WireRow): void {
    const id = String(wire.id)
    const seen = this.#parse(kind, entity, wire)
    if (seen === undefined) return
    if (documentsMatch(this.ledger.state(entity, id), seen)) this.ledger.learn(entity, id, seen)
    else {
      this.#recorder.mismatch(`${kind}: ${entity} ${id} is not in its last acknowledged state`)
      this.checkMarker(kind, seen.row[markerColumn[entity]])
    }
  }

  /** Holds an order in a list, which shows neither its lines nor its timeline, against the ledger. */
  checkOrderRow(kind: string, wire: WireRow): void {
    const id = String(wire.id)
    const expected = this.ledger.state('orders', id)
    if (expected !== null && rowMatches(expected.row, cellsFromWire(tables.orders, wire))) return
    this.#recorder.mismatch(`${kind}: orders ${id} is not in its last acknowledged state`)
  }

  /** Holds the text by which rows tell whose they are against the tenant. */
  checkMarker(kind: string, text: unknown): void {
    if (typeof text === 'string' && text.includes(this.ledger.marker)) return
    this.#recorder.foreignRows++
    this.#recorder.mismatch(`${kind}: a row of another tenant`)
  }

  mismatch(sample: string): void {
    this.#recorder.mismatch(sample)
  }

  /** @returns whether the write was acknowledged. */
  async write(request: WriteRequest): Promise<boolean> {
    const { kind, requestClass, method, path, body, effects } = request
    const [first, ...others] = effects
    const sentAt = now()
    const answer = await this.#http.send(method, path, body)
    if (answer.status !== expectedStatus[method]) {
      this.#failed(kind, answer)
      // A refusal changed nothing; of anything else it is not known what it did.
      if (answer.status === 'broken' || answer.status >= 500 || answer.status < 300)
        this.ledger.doubt(effects)
      return false
    }
    this.#recorder.succeeded(this.ledger.id, requestClass, sentAt)
    const shown = first.after === null ? null : this.#parse(kind, first.entity, answer.body as WireRow)
    if (shown === undefined) this.ledger.acknowledge(effects)
    else {
      if (!documentsMatch(first.after, shown)) {
        this.#recorder.mismatch(`${kind}: ${first.entity} ${first.id} was acknowledged with another content`)
      }
      this.ledger.acknowledge([{ ...first, after: shown }, ...others])
    }
    return true
  }

  async #timed(
    kind: string,
    requestClass: RequestClass,
    method: Method,
    path: string,
    status: number,
  ): Promise<unknown> {
    const sentAt = now()
    const answer = await this.#http.send(method, path)
    if (answer.status === status) {
      this.#recorder.succeeded(this.ledger.id, requestClass, sentAt)
      return answer.body
    }
    this.#failed(kind, answer)
    return undefined
  }

  #failed(kind: string, answer: Answer): void {
    const reason = answer.status === 'broken' ? answer.error : `${answer.status} ${problemCode(answer.body)}`
    this.#recorder.failedRequest({ tenantId: this.ledger.id, kind, reason })
  }

  #parse(kind: string, entity: Entity, wire: WireRow): Document<Cell> | undefined {
    try {
      return documentFromWire(entity, wire)
    } catch {
      this.#recorder.mismatch(`${kind}: the answer cannot be read as ${entity}`)
      return undefined
    }
  }
}

const expectedStatus: Readonly<Record<Method, number>> = { GET: 200, POST: 201, PATCH: 200, DELETE: 204 }

const markerColumn: Readonly<Record<Entity, number>> = {
  customers: columnIndex(tables.customers, 'email'),
  products: columnIndex(tables.products, 'sku'),
  orders: columnIndex(tables.orders, 'reference'),
}

const problemCode = (body: unknown): string =>
  typeof body === 'object' && body !== null && 'code' in body ? String(body.code) : ''
