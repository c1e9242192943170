import { RecentMap } from '@freehold/postgres'
import t from 'tap'

t.test('keeps what was used most recently', async (t) => {
  const map = new RecentMap<number, string>(10)
  for (let key = 0; key < 100; key++) {
    map.set(key, `v${key}`)
    t.equal(map.get(0), 'v0', 'what is used stays')
  }
  const kept = Array.from({ length: 100 }, (_, key) => key).filter((key) => map.get(key) !== undefined)
  t.ok(kept.length >= 10 && kept.length <= 20, `${kept.length} of 100 are kept`)
  t.ok(kept.includes(99))
  map.set(99, 'new')
  t.equal(map.get(99), 'new')
  map.delete(99)
  t.equal(map.get(99), undefined)
  map.delete(0)
  t.equal(map.get(0), undefined, 'from either generation')
})
