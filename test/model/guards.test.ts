// Each guard of the protocol is taken out of its model: then a promise is broken, and it is the one that the guard is for.

import { readFile } from 'node:fs/promises'
import t from 'tap'
import { MODEL, type Search, search } from './spin.ts'

t.setTimeout(900_000)

interface Guard extends Pick<Search, 'lookFor'> {
  /** What takes it out. */
  readonly without: readonly string[]
  /** What the model needs to have for it to matter. */
  readonly in?: readonly string[]
  readonly breaks: readonly string[]
}

const GUARDS: Readonly<Record<string, Guard>> = {
  "the tenant's lock": { without: ['NO_LOCK'], breaks: ['I1_one_home', 'I2_no_lost_write'] },
  'the lock before the check': {
    without: ['LOCK_AFTER_CHECK'],
    breaks: ['I1_one_home', 'I2_no_lost_write'],
  },
  'the token at the seal': {
    without: ['NO_TOKEN_AT_SEAL'],
    breaks: ['I5_point_of_no_return', 'I2_no_lost_write'],
  },
  'the seal on the session that holds the lock': {
    without: ['SEAL_ON_OTHER_SESSION'],
    breaks: ['I1_one_home', 'I2_no_lost_write'],
  },
  'the seal on that session, because no fence keeps those out who have kept the key, also were it instantaneous':
    {
      without: ['SEAL_ON_OTHER_SESSION'],
      in: ['SEAL_AT_ONCE'],
      breaks: ['I1_one_home', 'I2_no_lost_write'],
    },
  'the expiry at the seal, were the seal instantaneous and on another session, and no key kept': {
    without: ['NO_EXPIRY_AT_SEAL'],
    in: ['SEAL_ON_OTHER_SESSION', 'SEAL_AT_ONCE', 'ALL_ENTER'],
    breaks: ['I1_one_home', 'I2_no_lost_write'],
  },
  'the lock of who writes by a kept key': {
    without: ['KEPT_KEYS_TAKE_NO_LOCK'],
    breaks: ['I1_one_home', 'I2_no_lost_write'],
  },
  'the mark that who writes by a kept key is asked for': {
    without: ['KEPT_KEYS_ASK_NO_MARK'],
    breaks: ['I1_one_home', 'I2_no_lost_write'],
  },
  'the lock before that mark': {
    without: ['KEPT_KEYS_LOOK_FIRST'],
    breaks: ['I1_one_home', 'I2_no_lost_write'],
  },
  'the claim at the fence': {
    without: ['NO_CLAIM_AT_FENCE'],
    breaks: ['I5_point_of_no_return', 'I2_no_lost_write'],
  },
  'the claim at the fence, against a cancel': {
    without: ['NO_CLAIM_AT_FENCE'],
    in: ['CANCEL'],
    breaks: ['I5_cancelled_for_good'],
  },
  'the intent, against a cancel': {
    without: ['NO_INTENT'],
    in: ['CANCEL'],
    breaks: ['I5_cancelled_for_good'],
  },
  'the lease, asked for when a target is claimed that nobody had claimed': {
    without: ['NO_LEASE_AT_CLAIM'],
    in: ['SCHEMA_CHANGES'],
    breaks: ['I2_no_lost_write'],
  },
  "the claim at the applier's write": { without: ['NO_CLAIM_AT_APPLY'], breaks: ['I2_once'] },
  'the source closed to readers before the target is opened': {
    without: ['ACTIVATE_BEFORE_RETIRE'],
    in: ['READERS=1', 'ALL_ENTER'],
    breaks: ['no_stale_read'],
  },
  'the source left before the target is opened, for who reads by a kept key': {
    without: ['ACTIVATE_BEFORE_LEAVE'],
    in: ['READERS=1'],
    breaks: ['no_stale_read'],
  },
  'the source that shows nothing once it is left': {
    without: ['KEPT_KEYS_READ_ON'],
    in: ['READERS=1'],
    breaks: ['no_stale_read'],
  },
  'the purge that waits for readers': {
    without: ['NO_WAIT_FOR_READERS'],
    in: ['READERS=1'],
    breaks: ['no_stale_read'],
  },
  'the compare-and-set of the home': {
    without: ['NO_COMPARE_AT_HOME'],
    in: ['SOAK'],
    breaks: ['I2_no_lost_write', 'I5_point_of_no_return'],
  },
  'the end of the stream forward before the stream back': {
    without: ['FORWARD_STREAM_STAYS'],
    in: ['SOAK'],
    breaks: ['I2_once'],
  },
  'the stream back begins at the switch': {
    without: ['STREAM_BACK_FROM_ITS_SLOT'],
    in: ['SOAK', 'WRITES=2'],
    breaks: ['I2_once'],
  },
  'the claim at the mark of who is expected back': {
    without: ['NO_CLAIM_AT_EXPECT'],
    in: ['SOAK'],
    breaks: ['purge_is_whole'],
  },
  'the wait for readers before that mark': {
    without: ['NO_WAIT_AT_EXPECT'],
    in: ['SOAK', 'READERS=1'],
    breaks: ['no_stale_read'],
  },
  'the claim at the purge': { without: ['NO_CLAIM_AT_PURGE'], in: ['SOAK'], breaks: ['purge_is_whole'] },
  'the expiry of fences': {
    without: ['FENCES_STAY'],
    in: ['SOAK', 'CALM'],
    breaks: ['invalid end state'],
  },
  'the end of a session that holds the lock and does nothing': {
    without: ['LOCKS_STAY'],
    in: ['SOAK', 'CALM'],
    breaks: ['invalid end state'],
  },
  'the lock that is given up with the fence, when the catalog answers nobody': {
    without: ['LOCK_OUTLIVES_FENCE'],
    in: ['SOAK', 'CALM', 'SILENCE'],
    breaks: ['invalid end state'],
  },
  'a lock that is got at last': {
    without: ['LOCK_ALWAYS_TIMES_OUT'],
    in: ['SOAK', 'CALM'],
    breaks: ['non-progress cycle'],
    lookFor: 'cycles',
  },
}

for (const [name, guard] of Object.entries(GUARDS)) {
  t.test(`without ${name}`, async (t) => {
    for (const promise of guard.breaks) {
      const found = await search({ ...guard, flags: [...flagsOf(guard), ...only(promise)], bounds: false })
      t.equal(found.broken, promise, `${promise}, found after ${found.states} states`)
    }
  })
}

function flagsOf(guard: Guard): string[] {
  const flags = [...guard.without, ...(guard.in ?? [])]
  return flags.some((flag) => flag.startsWith('WRITES=')) ? flags : ['WRITES=1', ...flags]
}

/** So that what is broken is what is looked for, and not what happens to be found first. */
function only(promise: string): string[] {
  return /^\w+$/.test(promise) ? [`ONLY=${promise}`] : []
}

/** What would do without a guard. */
const ENOUGH: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'the session is enough without the expiry': [['NO_EXPIRY_AT_SEAL']],
  'the expiry is enough without the session, when the seal is instantaneous and no key is kept': [
    ['SEAL_ON_OTHER_SESSION', 'SEAL_AT_ONCE', 'ALL_ENTER'],
  ],
  'the retirement is enough for those who enter': [['ACTIVATE_BEFORE_LEAVE', 'READERS=1', 'ALL_ENTER']],
  'a lock that outlives its fence loses nothing, and goes with its session': [
    ['LOCK_OUTLIVES_FENCE'],
    ['LOCK_OUTLIVES_FENCE', 'CALM'],
  ],
}

for (const [name, searches] of Object.entries(ENOUGH)) {
  t.test(name, async (t) => {
    for (const flags of searches) {
      const found = await search({ flags: ['WRITES=1', ...flags] })
      t.same([found.broken, found.exhaustive], [undefined, true], flags.join(' '))
    }
  })
}

t.test('every guard that the model can do without is taken out here', async (t) => {
  const model = await readFile(MODEL, 'utf8')
  const about = ['SOAK', 'CANCEL', 'CALM', 'ONLY', 'WRITES', 'WRITERS', 'READERS']
  const named = [...model.matchAll(/^#(?:ifdef|ifndef) (\w+)|defined\((\w+)\)/gm)].map(
    ([, a, b]) => a ?? b ?? '',
  )
  const taken = Object.values(GUARDS).flatMap((guard) => flagsOf(guard).map((flag) => flag.split('=')[0]))
  t.same(
    [...new Set(named)].filter((flag) => !about.includes(flag) && !taken.includes(flag)),
    [],
  )
})
