import { FreeholdError } from '@freehold/contract'
import { checks } from './checks/index.ts'
import type { Facts } from './facts/model.ts'
import type { DoctorSettings } from './options.ts'

const OF_THE_TRIAL = /^trial-[a-z-]+$/

/**
 * Refuses names that name nothing: a schema misspelt would be a database in which nothing is wrong.
 *
 * @throws FreeholdError `config_invalid`
 */
export function assertMeant(settings: DoctorSettings, facts: Facts): void {
  for (const schema of settings.schemas) {
    if (!facts.tables.some((table) => table.schema === schema)) {
      throw refusal(`There is no table in a schema ${schema}.`)
    }
  }
  // What is left out by schema cannot be told from what is not there.
  for (const reference of settings.schemas.length > 0 ? [] : settings.referenceTables) {
    if (!facts.tables.some((table) => table.name === reference || table.label === reference)) {
      throw refusal(`There is no table ${reference}.`)
    }
  }
  for (const allowed of settings.allow) {
    const [check = ''] = allowed.split('=', 1)
    if (!OF_THE_TRIAL.test(check) && !checks.some(({ id }) => id === check)) {
      throw refusal(`There is no check ${check}.`)
    }
  }
}

function refusal(message: string): FreeholdError {
  return new FreeholdError('config_invalid', message)
}
