import t from 'tap'
import { TIMEOUT_MS, tryPlanted } from './try-planted.ts'

t.setTimeout(TIMEOUT_MS)

t.test(
  'every planted defect of a database of Freehold is found, and mended by the SQL that is printed',
  { timeout: TIMEOUT_MS },
  (t) => tryPlanted(t, { inFreehold: true }),
)
