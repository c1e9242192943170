import t from 'tap'
import { asSuperuser } from '../kit/databases.ts'
import { exactContent } from './exact-content.ts'
import { leftovers } from './leftovers.ts'
import { moveUnder, nameOfCase, prepareChangingGround, someSchemaChanges } from './schema-changes.ts'

/**
 * The source's schema changes under a move: it pauses or ends with an error that says so, and never without the rows. `npm run chaos --
 * --schema-changes` has every change at every phase.
 */
const changing = await prepareChangingGround()
t.teardown(() => changing.remove())
t.setTimeout(300_000)

for (const which of someSchemaChanges()) {
  t.test(nameOfCase(which), async (t) => {
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

for (const changeStream of ['logical', 'triggers'] as const) {
  t.test(
    `a paused move that is resumed copies the tables as they are then, by ${changeStream}`,
    async (t) => {
      const { ground, asOwner } = changing
      const tenant = await ground.tenant(`resumed-${changeStream}`, 20)
      const content = await exactContent(asSuperuser(ground.us.cluster, 'pool'), tenant.id)
      const change = () => asOwner('alter table annex.shelf add column extra text')
      let pauses = 0
      const ended = await moveUnder(
        ground,
        tenant,
        changeStream,
        'verify.entered',
        change,
        async ({ id }) => {
          await ground.catalog.operations.resume(id, 'test')
          await ground.endedOr(id, ({ events }) => events.filter(isPause).length === 2)
          await asOwner('alter table annex.shelf drop column extra')
          await ground.catalog.operations.resume(id, 'test')
          pauses = (await ground.catalog.moves.detail(id)).events.filter(isPause).length
        },
      )
      t.equal(pauses, 2, 'and pauses again as long as they differ')
      t.equal(ended.phase, 'completed', { timeline: ended.events.map(({ message }) => message) })
      t.same(await exactContent(asSuperuser(ground.eu.cluster, ended.to.database), tenant.id), content)
      t.same(await leftovers(ground, ended), [{ datname: ended.to.database }], 'but for its new home')
    },
  )
}

function isPause({ message }: { readonly message: string }): boolean {
  return message.startsWith('Paused, because the tables were changed')
}
