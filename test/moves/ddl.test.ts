import t from 'tap'
import { moveUnder, prepareChangingGround, someSchemaChanges } from './schema-changes.ts'

/**
 * The source's schema changes under a move: it ends with an error that says so, and never without the rows. `npm run chaos --
 * --schema-changes` has every change at every phase.
 */
const changing = await prepareChangingGround()
t.teardown(() => changing.remove())
t.setTimeout(300_000)

for (const which of someSchemaChanges()) {
  t.test(`${which.name} at ${which.at}, by ${which.changeStream}`, async (t) => {
    t.same(await changing.run(which), [])
  })
}

for (const changeStream of ['logical', 'triggers'] as const) {
  t.test(
    `a table that is rewritten as it was is verified again, and the move completes, by ${changeStream}`,
    async (t) => {
      const { ground, tenant, asOwner } = changing
      const mover = changeStream === 'logical' ? tenant : await ground.tenant('rewritten', 20)
      const ended = await moveUnder(ground, mover, changeStream, 'ready.entered', () =>
        asOwner('vacuum full heavy'),
      )
      t.equal(ended.phase, 'completed')
      t.equal(
        ended.events.filter(({ message }) => /equal on both sides/.test(message)).length,
        2,
        'verified twice',
      )
    },
  )
}
