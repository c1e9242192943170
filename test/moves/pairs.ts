import type { Isolation } from '@freehold/contract'
import type { MovingGround } from '../kit/moving-ground.ts'
import { GIVEN_UP_AT, type Script, type Stop, startJourney } from './journey.ts'

/** A way, by which change stream it is gone, and what is made of it each time. The last script brings the tenant there. */
export interface Leg {
  readonly to: Stop
  readonly changeStream: 'logical' | 'triggers'
  readonly scripts: readonly Script[]
}

/**
 * Every ordered pair of pool, schema and silo, on another cluster and, where there can be, on the same: a round trip of 15 from
 * the pool of `us`. The first 9 have every pair of isolations once and end where they begin, the other 6 have what is left.
 */
const ROUND_TRIP: readonly (readonly [Stop['region'], Isolation])[] = [
  ['eu', 'pool'],
  ['eu', 'schema'],
  ['us', 'schema'],
  ['eu', 'silo'],
  ['us', 'silo'],
  ['us', 'pool'],
  ['eu', 'silo'],
  ['eu', 'schema'],
  ['us', 'pool'],
  ['eu', 'schema'],
  ['eu', 'silo'],
  ['us', 'pool'],
  ['us', 'silo'],
  ['eu', 'schema'],
  ['eu', 'pool'],
]
/** Where a round trip begins. */
const HOME: Stop = { region: 'us', isolation: 'pool' }
const PAIRS_OF_ISOLATIONS = 9
const STREAMS = ['logical', 'triggers'] as const

const leg = (index: number, changeStream: Leg['changeStream'], ...scripts: Script[]): Leg => {
  const [region, isolation] = ROUND_TRIP[index] ?? ['us', 'pool']
  return { to: { region, isolation }, changeStream, scripts }
}
const givenUpAt = (at: string): Script => ({ kind: 'given up', at })
const thereAndBackAndThere: readonly Script[] = [{ kind: 'rolled back' }, { kind: 'finalised' }]

/** What `npm test` has time for: each pair by one of the streams, given up in one of the phases. */
export function someLegs(): Leg[] {
  return ROUND_TRIP.map((_, index) => {
    const turn = Math.floor(index / GIVEN_UP_AT.length)
    const changeStream = STREAMS[(index + turn) % STREAMS.length] ?? 'logical'
    if (index >= PAIRS_OF_ISOLATIONS) return leg(index, changeStream, { kind: 'made' })
    const at = GIVEN_UP_AT[index % GIVEN_UP_AT.length] ?? GIVEN_UP_AT[0]
    return leg(index, changeStream, givenUpAt(at), ...thereAndBackAndThere)
  })
}

/**
 * Round trips with every pair by each stream: one that is just made, and one on which every move is given up in each phase, then
 * made, rolled back, made again and finalised.
 */
export function allLegs(): Leg[][] {
  const trip = (changeStream: Leg['changeStream'], ...scripts: Script[]) =>
    ROUND_TRIP.map((_, index) => leg(index, changeStream, ...scripts))
  return STREAMS.flatMap((changeStream) => [
    trip(changeStream, { kind: 'made' }),
    trip(changeStream, ...GIVEN_UP_AT.map(givenUpAt), ...thereAndBackAndThere),
  ])
}

/**
 * Takes a tenant along the legs while it is written to.
 *
 * @param tell hears of each move, with what is wrong after it.
 * @returns what is wrong in the end.
 */
export async function travel(
  ground: MovingGround,
  slug: string,
  legs: readonly Leg[],
  seed: number,
  tell: (what: string, problems: readonly string[]) => void,
): Promise<string[]> {
  await using journey = await startJourney(ground, slug, seed)
  for (const [index, leg] of legs.entries()) {
    for (const script of leg.scripts) {
      const problems = await journey.go(leg.to, script, leg.changeStream)
      tell(nameOf(legs, index, script), problems)
    }
  }
  return journey.arrive()
}

/** Of these legs what is `wanted` by its name, and of the others what brings the tenant there; none if nothing is. */
export function narrowed(legs: readonly Leg[], wanted: (name: string) => boolean): Leg[] {
  const chosen = legs.map((leg, index) => leg.scripts.filter((script) => wanted(nameOf(legs, index, script))))
  const last = chosen.findLastIndex((scripts) => scripts.length > 0)
  return legs.slice(0, last + 1).map((leg, index) => {
    const scripts = chosen[index] ?? []
    const arrives = scripts.some(({ kind }) => kind === 'made' || kind === 'finalised')
    return { ...leg, scripts: arrives ? scripts : [...scripts, { kind: 'made' }] }
  })
}

function nameOf(legs: readonly Leg[], index: number, script: Script): string {
  const from = legs[index - 1]?.to ?? HOME
  const { to = HOME, changeStream } = legs[index] ?? {}
  const what = script.kind === 'given up' ? `given up at ${script.at}` : script.kind
  return `${named(from)} to ${named(to)} by ${changeStream}, ${what}`
}

const named = ({ region, isolation }: Stop) => `${isolation} in ${region}`
