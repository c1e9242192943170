import type { Readable } from 'node:stream'
import type pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import type { Cell } from '../ledger/cell.ts'
import type { Table } from '../ledger/tables.ts'

/** A row as it stands in the database. */
export interface StoredRow {
  readonly tenantId: string
  readonly key: readonly string[]
  readonly cells: readonly Cell[]
}

/** Reads all rows of a table, of every tenant, in the form in which the ledger keeps them. */
export async function* readTable(client: pg.Client, table: Table): AsyncGenerator<StoredRow> {
  const columns = table.columns.map(({ name, type }) => expressions[type](name))
  const keys = table.key.map((name) => `${name}::text`)
  const select = ['tenant_id::text', ...keys, ...columns].join(', ')
  const stream = client.query(copyTo(`copy (select ${select} from ${table.name}) to stdout`))
  for await (const line of splitLines(stream)) {
    const [tenantId, ...values] = line.split('\t').map(unescapeCopy)
    const key = values.splice(0, keys.length)
    yield { tenantId: tenantId ?? '', key: key.map((value) => value ?? ''), cells: values }
  }
}

/** COPY writes a line break inside a value as \n, so a line is a row. */
async function* splitLines(stream: Readable): AsyncGenerator<string> {
  stream.setEncoding('utf8')
  let rest = ''
  for await (const chunk of stream as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
}

const expressions = {
  plain: (name: string) => `${name}::text`,
  instant: (name: string) => `to_char(${name} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
  json: (name: string) => `to_jsonb(${name})::text`,
  bytes: (name: string) => `encode(${name}, 'hex')`,
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f', v: '\v' }

function unescapeCopy(value: string): Cell {
  if (value === '\\N') return null
  return value.includes('\\')
    ? value.replace(/\\(.)/gs, (_, character: string) => escapes[character] ?? character)
    : value
}
