import t from 'tap'
import { checks } from '../src/checks/index.ts'
import { plantedInFreehold } from './planted-in-freehold.ts'
import { plantedInProduct } from './planted-in-product.ts'
import { TIMEOUT_MS, tryPlanted } from './try-planted.ts'

t.setTimeout(TIMEOUT_MS)

t.test(
  'every planted defect of a product without Freehold is found, and mended by the SQL that is printed',
  { timeout: TIMEOUT_MS },
  (t) => tryPlanted(t, { inFreehold: false }),
)

t.test('there is a planted defect for every check', async (t) => {
  const covered = new Set([...plantedInProduct, ...plantedInFreehold].map(({ check }) => check))
  const missing = checks.map(({ id }) => id).filter((id) => !covered.has(id))
  t.same(missing, ['server-version'], 'which has a test of its own')
  t.equal(new Set(checks.map(({ id }) => id)).size, checks.length)
  for (const { id, why, fix } of checks) {
    t.match(id, /^[a-z]+(-[a-z]+)*$/)
    t.match(why, /\.$/, id)
    t.match(fix, /\.$/, id)
  }
})
