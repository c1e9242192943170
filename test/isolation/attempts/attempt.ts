import type { Kysely } from 'kysely'
import type { FuzzTables } from '../fuzz/tables.ts'

type Db = Kysely<FuzzTables>

export interface Attempt {
  readonly name: string
  /**
   * Runs as the attacker.
   *
   * @param of the victim's own instance, for what somebody has kept of it.
   * @returns rows, in which the victim must not be found.
   */
  run(db: Db, victim: string, attacker: string, of: Db): Promise<unknown>
}

export const attempt = (name: string, run: Attempt['run']): Attempt => ({ name, run })
