import t from 'tap'
import { readConfig } from '../src/config.ts'

const needed = {
  FREEHOLD_CATALOG_URL: 'postgres://freehold_control@localhost:5432/freehold_catalog',
  FREEHOLD_ENTRY_SECRET: 'an entry secret of the tests, long enough to be one',
  REDIS_URL: 'redis://localhost:6379',
}

t.test('when a switch is called off and given up is configured', async (t) => {
  t.match(readConfig(needed), {
    FREEHOLD_MAX_LAG_MS: 250,
    FREEHOLD_LOCK_TIMEOUT_MS: 1_000,
    FREEHOLD_REFERENCE_HOLD_MS: 5_000,
    FREEHOLD_CUTOVER_MAX_BACK_OFF_MS: 30_000,
    FREEHOLD_CUTOVER_ATTEMPTS: 20,
    FREEHOLD_CUTOVER_PATIENCE_MS: 600_000,
  })
  const chosen = { FREEHOLD_MAX_LAG_MS: '50', FREEHOLD_CUTOVER_ATTEMPTS: '3' }
  t.match(readConfig({ ...needed, ...chosen }), { FREEHOLD_MAX_LAG_MS: 50, FREEHOLD_CUTOVER_ATTEMPTS: 3 })
})

t.test('a wrong value is refused by the name of its variable', async (t) => {
  for (const [name, value] of [
    ['FREEHOLD_MAX_LAG_MS', '0'],
    ['FREEHOLD_CUTOVER_MAX_BACK_OFF_MS', 'soon'],
    ['FREEHOLD_CUTOVER_ATTEMPTS', '0'],
    ['FREEHOLD_CUTOVER_ATTEMPTS', '2.5'],
    ['FREEHOLD_CUTOVER_PATIENCE_MS', '-1'],
  ] as const) {
    t.throws(() => readConfig({ ...needed, [name]: value }), {
      code: 'config_invalid',
      message: new RegExp(name),
    })
  }
})
