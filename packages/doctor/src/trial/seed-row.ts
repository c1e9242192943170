import { quoteIdentifier } from '@freehold/postgres'
import pg, { type ClientBase } from 'pg'
import type { Column, Facts, Table } from '../facts/model.ts'
import { ofTable } from '../facts/of-table.ts'
import { type Candidates, candidatesFor, literalsOf, uniqueValue } from './candidates.ts'

/** A row as text, by column. */
export type Row = Readonly<Record<string, string | null>>

/** A row that was put into a table, or why none could be. */
export type Made = { readonly row: Row } | { readonly row: null; readonly reason: string }

const ATTEMPTS = 60

/**
 * Puts a row into a table, of values that its types and constraints allow, and rolls nothing back.
 *
 * @param given values that are settled: the tenant, and keys of rows to which it refers.
 * @returns the row as the table holds it, or why none could be made.
 */
export async function seedRow(
  client: ClientBase,
  facts: Facts,
  table: Table,
  given: Readonly<Record<string, string>>,
): Promise<Made> {
  const choices = new Choices(facts, table, given)
  let reason = ''
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const row = choices.row()
    await client.query('savepoint freehold_seed')
    try {
      const made = await client.query<Row>(
        `${insertSql(table, row)} returning ${allAsText(table)}`,
        Object.values(row),
      )
      await client.query('release savepoint freehold_seed')
      const [first] = made.rows
      return first ? { row: first } : { row: null, reason: 'a trigger or rule took the row away' }
    } catch (error) {
      await client.query('rollback to savepoint freehold_seed')
      if (!(error instanceof pg.DatabaseError)) throw error
      reason = error.message
      if (!choices.learn(error)) break
    }
  }
  return { row: null, reason }
}

/** INSERT of a row whose values are given as text, in the order of its columns. */
export function insertSql(table: Table, row: Row): string {
  const names = Object.keys(row)
  const types = new Map(table.columns.map(({ name, type }) => [name, type]))
  return `insert into ${table.sql} (${names.map((name) => quoteIdentifier(name)).join(', ')}) overriding system value
    values (${names.map((name, at) => `$${at + 1}::${types.get(name)}`).join(', ')})`
}

/** Every column of a table as text, for SELECT and RETURNING. */
export function allAsText(table: Table): string {
  return table.columns
    .map(({ name }) => `${quoteIdentifier(name)}::text as ${quoteIdentifier(name)}`)
    .join(', ')
}

/** Which candidate each column is given, and what a refusal says about that. */
class Choices {
  readonly #facts: Facts
  readonly #table: Table
  readonly #given: Readonly<Record<string, string>>
  readonly #candidates: ReadonlyMap<string, Candidates>
  readonly #chosen = new Map<string, number>()

  constructor(facts: Facts, table: Table, given: Readonly<Record<string, string>>) {
    this.#facts = facts
    this.#table = table
    this.#given = given
    const checks = ofTable(facts.checkConstraints, table)
    this.#candidates = new Map(
      table.columns.map((column) => {
        const literals = checks
          .filter(({ columns }) => columns.includes(column.name))
          .flatMap(({ expression }) => literalsOf(expression))
        return [column.name, candidatesFor(column, literals)]
      }),
    )
    for (const column of table.columns) if (this.#isNeeded(column)) this.#chosen.set(column.name, 0)
  }

  row(): Row {
    const row: Record<string, string | null> = {}
    for (const column of this.#table.columns) {
      const value = this.#value(column)
      if (value !== undefined) row[column.name] = value
    }
    return row
  }

  /** @returns false when there is nothing else to try. */
  learn(error: pg.DatabaseError): boolean {
    switch (error.code) {
      case '23514':
        return this.#turn(this.#columnsOf(error.constraint))
      case '23502':
        return this.#turn(error.column === undefined ? [] : [error.column])
      case '23505':
        // Values are made anew for every attempt; those that are fixed have to be others.
        return this.#turn(this.#columnsOfIndex(error.constraint))
      default:
        return error.code?.startsWith('22') === true && this.#turn([...this.#chosen.keys()])
    }
  }

  #isNeeded(column: Column): boolean {
    if (column.isGenerated || column.name in this.#given) return false
    // A sequence would stay advanced after the rollback, so it is not asked.
    if (takesSequence(column)) return column.notNull || column.isIdentity
    return column.notNull && column.default === null
  }

  #value(column: Column): string | null | undefined {
    const given = this.#given[column.name]
    if (given !== undefined) return given
    const choice = this.#chosen.get(column.name)
    if (choice === undefined) return takesSequence(column) ? null : undefined
    const isKey = ofTable(this.#facts.indexes, this.#table).some(
      ({ isUnique, columns }) => isUnique && columns.includes(column.name),
    )
    const candidates = this.#candidates.get(column.name) ?? []
    const unique = isKey && choice === 0 ? uniqueValue(column) : undefined
    return (unique ?? candidates[choice % candidates.length])?.()
  }

  /** Goes on to the next combination of the columns' candidates, as an odometer does. */
  #turn(columns: readonly string[]): boolean {
    for (const name of columns) {
      if (name in this.#given || this.#table.columns.find((column) => column.name === name)?.isGenerated)
        continue
      const choice = this.#chosen.get(name)
      if (choice === undefined) {
        this.#chosen.set(name, 0)
        return true
      }
      if (choice + 1 < (this.#candidates.get(name)?.length ?? 0)) {
        this.#chosen.set(name, choice + 1)
        return true
      }
      this.#chosen.set(name, 0)
    }
    return false
  }

  #columnsOf(constraint: string | undefined): readonly string[] {
    return (
      ofTable(this.#facts.checkConstraints, this.#table).find(({ name }) => name === constraint)?.columns ??
      []
    )
  }

  #columnsOfIndex(name: string | undefined): string[] {
    const index = ofTable(this.#facts.indexes, this.#table).find((one) => one.name === name)
    return (index?.columns ?? []).filter((column) => column !== null)
  }
}

function takesSequence(column: Column): boolean {
  return column.isIdentity || /\bnextval\(/.test(column.default ?? '')
}
