import pg, { type FieldDef, type QueryResult } from 'pg'

type Row = Record<string, unknown>

interface TypeParsers {
  getTypeParser(oid: number, format: 'text'): (value: string) => unknown
}

/** The columns that a statement returns, and a row of them to copy: copying is faster than building. */
export class Columns {
  readonly fields: readonly FieldDef[]
  readonly blank: Readonly<Row>

  constructor(fields: readonly FieldDef[]) {
    this.fields = fields
    this.blank = Object.fromEntries(fields.map((field) => [field.name, null]))
  }
}

const NO_COLUMNS = new Columns([])

/** What `pg` returns for a query, gathered from the server's messages. */
export class QueryRows {
  /** Set by the client to its own type parsers; it looks for this name. */
  _types: TypeParsers | undefined
  readonly #rows: Row[] = []
  #columns = NO_COLUMNS
  #parsers: ((value: string) => unknown)[] = []
  #command = ''
  #rowCount: number | null = null
  #oid = 0

  get columns(): Columns {
    return this.#columns
  }

  set columns(columns: Columns) {
    const types = this._types ?? pg.types
    this.#columns = columns
    this.#parsers = columns.fields.map((field) => types.getTypeParser(field.dataTypeID, 'text'))
  }

  addRow(values: readonly (string | null)[]): void {
    const row = { ...this.#columns.blank }
    for (let index = 0; index < values.length; index++) {
      const value = values[index]
      const field = this.#columns.fields[index]
      const parse = this.#parsers[index]
      if (field && parse && value != null) row[field.name] = parse(value)
      // The last of several columns of one name counts, also when it is null.
      else if (field) row[field.name] = null
    }
    this.#rows.push(row)
  }

  /** @param tag what the server says has been done: `SELECT 5`, `INSERT 0 1`, `BEGIN`. */
  complete(tag: string): void {
    const [command = '', first, second] = tag.split(' ')
    this.#command = command
    if (second !== undefined && NUMBER.test(second)) {
      this.#oid = Number(first)
      this.#rowCount = Number(second)
    } else if (first !== undefined && NUMBER.test(first)) {
      this.#rowCount = Number(first)
    }
  }

  get result(): QueryResult {
    return {
      command: this.#command,
      rowCount: this.#rowCount,
      oid: this.#oid,
      fields: [...this.#columns.fields],
      rows: this.#rows,
    }
  }
}

const NUMBER = /^\d+$/
