// Decodes the messages of Postgres' logical decoding plugin `pgoutput`, protocol version 1.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
//
// Values stay the text that Postgres wrote. Parsing them into JavaScript values would lose what those cannot
// hold: microseconds of a timestamp, digits of a numeric, the order of a JSON object's keys.

import type { Lsn, TableName } from '@freehold/postgres'

/** A value as text; null: SQL null; undefined: a TOASTed value that the change did not touch, and so is not sent. */
export type TextValue = string | null | undefined

export interface Relation {
  readonly table: TableName
  readonly columns: readonly { readonly name: string; readonly inKey: boolean }[]
}

export type RowChange =
  | { readonly kind: 'insert'; readonly relation: Relation; readonly row: readonly TextValue[] }
  | {
      readonly kind: 'update'
      readonly relation: Relation
      readonly row: readonly TextValue[]
      /** The row as it was, key columns at least, when the key has changed; otherwise the key is in `row`. */
      readonly oldRow: readonly TextValue[] | undefined
    }
  | { readonly kind: 'delete'; readonly relation: Relation; readonly oldRow: readonly TextValue[] }

export type StreamMessage =
  | { readonly kind: 'begin'; readonly commitLsn: Lsn; readonly xid: number }
  | { readonly kind: 'commit'; readonly commitLsn: Lsn; readonly endLsn: Lsn }
  | { readonly kind: 'marker'; readonly prefix: string; readonly content: string }
  /** The columns of a table, before its first change and again after they have changed. */
  | { readonly kind: 'relation'; readonly relation: Relation }
  | { readonly kind: 'truncate'; readonly relations: readonly Relation[] }
  | RowChange

/** Decodes one message after the other; it remembers the relations that the stream has described. */
export class PgoutputDecoder {
  readonly #relations = new Map<number, Relation>()

  /** @returns the message, or undefined for one that carries no change (type, origin). */
  decode(payload: Buffer): StreamMessage | undefined {
    const reader = new Reader(payload)
    const tag = reader.char()
    switch (tag) {
      case 'B': {
        const commitLsn = reader.int64()
        reader.skip(8)
        return { kind: 'begin', commitLsn, xid: reader.int32() >>> 0 }
      }
      case 'C': {
        reader.skip(1)
        return { kind: 'commit', commitLsn: reader.int64(), endLsn: reader.int64() }
      }
      case 'M': {
        reader.skip(1 + 8)
        const prefix = reader.string()
        return { kind: 'marker', prefix, content: reader.bytes(reader.int32()).toString('utf8') }
      }
      case 'R': {
        const oid = reader.int32()
        const relation = readRelation(reader)
        this.#relations.set(oid, relation)
        return { kind: 'relation', relation }
      }
      case 'I': {
        const relation = this.#relation(reader.int32())
        reader.skip(1)
        return { kind: 'insert', relation, row: readRow(reader) }
      }
      case 'U': {
        const relation = this.#relation(reader.int32())
        const marker = reader.char()
        const oldRow = marker === 'N' ? undefined : readRow(reader)
        if (oldRow !== undefined) reader.skip(1)
        return { kind: 'update', relation, row: readRow(reader), oldRow }
      }
      case 'D': {
        const relation = this.#relation(reader.int32())
        reader.skip(1)
        return { kind: 'delete', relation, oldRow: readRow(reader) }
      }
      case 'T': {
        const count = reader.int32()
        reader.skip(1)
        return {
          kind: 'truncate',
          relations: Array.from({ length: count }, () => this.#relation(reader.int32())),
        }
      }
      case 'Y':
      case 'O':
        return undefined
      default:
        throw new Error(`the change stream holds a message of unknown kind ${JSON.stringify(tag)}`)
    }
  }

  #relation(oid: number): Relation {
    const relation = this.#relations.get(oid)
    if (relation === undefined)
      throw new Error(`the change stream names relation ${oid} before describing it`)
    return relation
  }
}

function readRelation(reader: Reader): Relation {
  const schema = reader.string()
  const name = reader.string()
  reader.skip(1)
  const columns = Array.from({ length: reader.int16() }, () => {
    const inKey = reader.uint8() === 1
    const column = reader.string()
    reader.skip(4 + 4)
    return { name: column, inKey }
  })
  // An empty schema name stands for pg_catalog.
  return { table: { schema: schema === '' ? 'pg_catalog' : schema, name }, columns }
}

function readRow(reader: Reader): TextValue[] {
  return Array.from({ length: reader.int16() }, () => {
    const format = reader.char()
    switch (format) {
      case 'n':
        return null
      case 'u':
        return undefined
      case 't':
        return reader.bytes(reader.int32()).toString('utf8')
      default:
        throw new Error(`the change stream holds a value of unknown format ${JSON.stringify(format)}`)
    }
  })
}

class Reader {
  readonly #buffer: Buffer
  #at = 0

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  skip(bytes: number): void {
    this.#at += bytes
  }

  uint8(): number {
    return this.#buffer.readUInt8(this.#advance(1))
  }

  char(): string {
    return String.fromCharCode(this.uint8())
  }

  int16(): number {
    return this.#buffer.readInt16BE(this.#advance(2))
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.#advance(4))
  }

  int64(): bigint {
    return this.#buffer.readBigUInt64BE(this.#advance(8))
  }

  bytes(length: number): Buffer {
    const start = this.#advance(length)
    return this.#buffer.subarray(start, start + length)
  }

  string(): string {
    const end = this.#buffer.indexOf(0, this.#at)
    const text = this.#buffer.toString('utf8', this.#at, end)
    this.#at = end + 1
    return text
  }

  #advance(bytes: number): number {
    const at = this.#at
    this.#at += bytes
    return at
  }
}
