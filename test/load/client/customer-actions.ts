import { randomUUID } from 'node:crypto'
import { ANY, since } from '../ledger/cell.ts'
import { single } from '../ledger/document.ts'
import { cellOf, changeRow, makeRow } from '../ledger/row.ts'
import type { Random } from '../seed/random.ts'
import * as text from '../seed/text.ts'
import type { Action } from './action.ts'
import { deleteSpare } from './delete-spare.ts'
import { cellsOf, someOf } from './fields.ts'

export const readCustomer: Action = {
  kind: 'read customer',
  weight: 8,
  async run({ session, holdings, random }) {
    const id = holdings.pick('customers', random.chance(0.8) ? 'keep' : 'spare')
    if (id === undefined) return false
    await session.readOne(this.kind, 'customers', id)
    return true
  },
}

export const createCustomer: Action = {
  kind: 'create customer',
  weight: 8,
  async run({ session, holdings, random }) {
    const id = randomUUID()
    const fields = customerFields(random)
    const email = `${id}@${session.ledger.marker}.example`
    const row = makeRow('customers', { email, ...cellsOf(fields), created_at: ANY, updated_at: ANY })
    const acknowledged = await session.write({
      kind: this.kind,
      requestClass: 'write',
      method: 'POST',
      path: '/customers',
      body: { id, email, ...fields },
      effects: [{ entity: 'customers', id, after: single(row) }],
    })
    if (acknowledged) holdings.add('customers', random.chance(0.6) ? 'keep' : 'spare', id)
    return true
  },
}

export const updateCustomer: Action = {
  kind: 'update customer',
  weight: 8,
  async run({ session, holdings, random }) {
    const id = holdings.pick('customers', random.chance(0.8) ? 'keep' : 'spare')
    const state = id === undefined ? null : session.ledger.state('customers', id)
    if (id === undefined || state === null) return false
    const fields = someOf(random, customerFields(random))
    const stamp = since(cellOf('customers', state.row, 'updated_at'))
    const row = changeRow('customers', state.row, { ...cellsOf(fields), updated_at: stamp })
    await session.write({
      kind: this.kind,
      requestClass: 'write',
      method: 'PATCH',
      path: `/customers/${id}`,
      body: fields,
      effects: [{ entity: 'customers', id, after: single(row) }],
    })
    return true
  },
}

export const deleteCustomer: Action = {
  kind: 'delete customer',
  weight: 3,
  run: (actor) => deleteSpare(actor, 'customers', 'delete customer'),
}

interface CustomerFields {
  name: string
  phone: string | null
  born_on: string | null
  address: Record<string, unknown> | null
  labels: string[]
  credit_limit: string | null
  newsletter: boolean
}

const customerFields = (random: Random): CustomerFields => ({
  name: text.personName(random),
  phone: random.chance(0.5) ? null : `+33 ${random.below(1_000_000)}`,
  born_on: random.chance(0.5) ? null : text.dayOfBirth(random),
  address: random.chance(0.3) ? null : text.address(random),
  labels: text.labels(random),
  credit_limit: random.chance(0.5) ? null : text.fixed(random.below(100_000_000), 4),
  newsletter: random.chance(0.5),
})
