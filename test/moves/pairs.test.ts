import { randomInt } from 'node:crypto'
import t from 'tap'
import { type MovingGround, prepareMovingGround } from '../kit/moving-ground.ts'
import { someLegs, travel } from './pairs.ts'

// Part of what `npm run chaos -- --pairs` does.

const MAX_SEED = 0xffff_ffff

t.setTimeout(300_000)

t.test(
  'a tenant moves from every kind of place to every kind, there and back, and nobody notices',
  async (t) => {
    const ground: MovingGround = await prepareMovingGround()
    t.teardown(() => ground.remove())
    const seed = randomInt(MAX_SEED)
    t.comment(`seed ${seed}`)
    const problems = await travel(ground, 'traveller', someLegs(), seed, (what, wrong) =>
      t.same(wrong, [], what),
    )
    t.same(
      problems,
      [],
      `every acknowledged write is there, once, and no neighbour has changed (seed ${seed})`,
    )
    const { clusters } = await ground.catalog.topology.read()
    t.same(
      clusters.map(({ silos }) => silos),
      [0, 0],
      'a silo that was left is no silo any more',
    )
  },
)
