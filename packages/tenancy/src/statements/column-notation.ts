import { HARMLESS } from './harmless-functions.ts'
import { nameOf } from './token.ts'

/**
 * Whether a statement may call a function as if it were a column: PostgreSQL reads `x.f` as `f(x)` wherever x has no
 * column f. What x can be decides which functions that may be:
 *
 * - `(...).f`, `a[1].f` and `$1.f`: x is a value of any type, so any function may be meant. Only harmless names pass;
 *   fields of composite values cost a reset of the session.
 * - `q.f` where q is what a function in FROM returns, `from unnest(...) q`: the same, unless f is surely its column.
 * - `t.f` where t is a table, a subquery or a CTE: x is a row. The system has no function of rows that changes
 *   anything; functions of the product's own that take a row are part of its schema, as its triggers are.
 *
 * Whatever q is, the names of the system's functions that do change something are no columns.
 *
 * @param tokens of a statement that calls, with parentheses, only {@link HARMLESS} functions.
 */
export function mayCallByColumn(tokens: readonly string[]): boolean {
  // What is true of most statements, at the least cost.
  if (!tokens.includes('.')) return false
  return new ColumnReader(tokens).mayCall()
}

/** What stands between two parentheses, or outside of all. */
interface Level {
  /** The arguments of a function, where FROM begins no list of tables: `extract(epoch from at)`. */
  readonly call: boolean
  /** The function, if it stands where FROM has its tables. */
  readonly item: string | undefined
  /** Whether the parenthesis itself stands there: `from (a cross join b)`. */
  readonly inFrom: boolean
  /** Whether a comma now would be followed by a further table. */
  listing: boolean
}

interface Reference {
  readonly of: string
  readonly name: string
}

class ColumnReader {
  readonly #tokens: readonly string[]
  readonly #outer: Level[] = []
  #level: Level = { call: false, item: undefined, inFrom: false, listing: false }
  /** The columns that surely exist of what functions in FROM return, by its name. */
  readonly #columns = new Map<string, ReadonlySet<string>>()
  readonly #references: Reference[] = []
  /** Whether the dotted name that is being read begins with a value rather than with a name. */
  #ofValue = false

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens
  }

  mayCall(): boolean {
    for (let index = 0; index < this.#tokens.length; index++) if (this.#mayCallAt(index)) return true
    return this.#references.some(({ of, name }) => {
      const columns = this.#columns.get(of)
      return columns !== undefined && !columns.has(name) && !HARMLESS.has(name)
    })
  }

  #mayCallAt(index: number): boolean {
    const token = this.#tokens[index] ?? ''
    if (token === '.') return this.#readDot(index)
    if (token === '(') return this.#open(index)
    if (token === ')') this.#close(index)
    else if (this.#tokens[index - 1] !== '.') return this.#readWord(token, index)
    return false
  }

  #readDot(index: number): boolean {
    const name = nameOf(this.#tokens[index + 1])
    const of = nameOf(this.#tokens[index - 1])
    if (of === undefined) this.#ofValue = true
    else if (this.#tokens[index - 2] !== '.') this.#ofValue = false
    if (name === undefined) return false
    if (of === undefined || this.#ofValue) return !HARMLESS.has(name)
    if (of !== 'pg_catalog' && CHANGES_SOMETHING.test(name)) return true
    this.#references.push({ of, name })
    return false
  }

  #open(index: number): boolean {
    const before = this.#tokens[index - 1] ?? ''
    const call = HARMLESS.has(before) || before === 'cast'
    const qualified = call && this.#tokens[index - 2] === '.'
    const inFrom = this.#isInFrom(call ? index - (qualified ? 3 : 1) : index)
    if (inFrom && (SQL_SYNTAX.has(before) || (before === 'from' && this.#tokens[index - 2] === 'rows'))) {
      return true
    }
    this.#outer.push(this.#level)
    this.#level = { call, item: call && inFrom ? before : undefined, inFrom, listing: false }
    return false
  }

  #close(index: number): void {
    const { item } = this.#level
    if (item !== undefined && !ROWS.test(item)) this.#nameItem(item, index + 1)
    this.#level = this.#outer.pop() ?? this.#level
  }

  #readWord(token: string, index: number): boolean {
    const before = this.#tokens[index - 1]
    const begins = token === 'using' || (token === 'from' && !this.#isComparison(index))
    if (begins) this.#level.listing ||= !this.#level.call
    else if (ENDS_FROM.has(token) && before !== 'within') this.#level.listing = false
    return WITHOUT_PARENTHESES.has(token) && this.#isInFrom(index)
  }

  /** Whether what begins there may be a table, a function or a parenthesis that FROM names. */
  #isInFrom(start: number): boolean {
    if (this.#level.call) return false
    switch (this.#tokens[start - 1]) {
      case 'from':
        return !this.#isComparison(start - 1)
      case 'join':
      case 'lateral':
      case 'using':
        return true
      case ',':
        return this.#level.listing
      case '(':
        return this.#level.inFrom
      default:
        return false
    }
  }

  /** `is distinct from` and `is not distinct from`; but in `select t.is distinct from` that is a column and its alias. */
  #isComparison(from: number): boolean {
    if (this.#tokens[from - 1] !== 'distinct') return false
    const is = this.#tokens[from - 2] === 'not' ? from - 3 : from - 2
    const before = this.#tokens[is - 1]
    return this.#tokens[is] === 'is' && before !== '.' && before !== '::'
  }

  /** What follows a function in FROM: `q`, `as q`, `q (column)`, or nothing, and then the function's name is its own. */
  #nameItem(item: string, after: number): void {
    const tokens = this.#tokens
    // With its number it is a row.
    if (tokens[after] === 'with' && tokens[after + 1] === 'ordinality') return
    const own = OUT_VALUE.test(item) ? 'value' : undefined
    this.#addItem(item, [own ?? item])
    const at = tokens[after] === 'as' ? after + 1 : after
    const alias = nameOf(tokens[at])
    if (alias === undefined) return
    this.#addItem(alias, tokens[at + 1] === '(' ? this.#namesIn(at + 1) : [own ?? alias])
  }

  #namesIn(opening: number): string[] {
    const names: string[] = []
    for (let at = opening + 1; at < this.#tokens.length && this.#tokens[at] !== ')'; at++) {
      const name = nameOf(this.#tokens[at])
      if (name !== undefined) names.push(name)
    }
    return names
  }

  /** The same name may mean another thing in a subquery, so only the columns count that all of them have. */
  #addItem(name: string, columns: readonly string[]): void {
    const earlier = this.#columns.get(name)
    this.#columns.set(name, new Set(columns.filter((column) => !earlier || earlier.has(column))))
  }
}

/** The names of the system's functions that take one argument and are declared volatile; a test holds them against it. */
const CHANGES_SOMETHING =
  /^(?:pg_\w+|binary_upgrade_\w+|lo_(?:close|creat|create|get|import|tell|tell64|unlink)|amvalidate|brin_summarize_new_values|currval|gin_clean_pending_list|nextval|plpgsql_validator|random_normal|setseed|ts_stat|txid_status)$/

/** What ends a list of tables; reserved words, so none of them is the name of a table. WITHIN GROUP is something else. */
const ENDS_FROM = new Set([
  'where',
  'group',
  'having',
  'order',
  'limit',
  'offset',
  'fetch',
  'union',
  'intersect',
  'except',
  'select',
  'returning',
  'window',
])

/** Expressions that FROM takes for functions, and whose names, where they are given none, are not in the text. */
const SQL_SYNTAX = new Set([
  'cast',
  'coalesce',
  'extract',
  'greatest',
  'grouping',
  'json_exists',
  'json_object',
  'json_query',
  'json_value',
  'least',
  'normalize',
  'nullif',
  'overlay',
  'position',
  'substring',
  'trim',
])

/** The same without any parentheses. */
const WITHOUT_PARENTHESES = new Set([
  'current_catalog',
  'current_date',
  'current_role',
  'current_schema',
  'current_time',
  'current_timestamp',
  'current_user',
  'localtime',
  'localtimestamp',
  'session_user',
  'system_user',
  'user',
])

/** Harmless functions that return rows. */
const ROWS = /^jsonb?_(?:each|each_text|to_record|to_recordset|populate_record|populate_recordset)$/

/** Harmless functions whose column is named by themselves, whatever their rows are called. */
const OUT_VALUE = /^jsonb?_array_elements(?:_text)?$/
