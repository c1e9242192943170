import type { Isolation } from '@freehold/contract'
import t from 'tap'
import { checkActivity } from '../src/preflight/checks/activity.ts'
import { checkChangeStream } from '../src/preflight/checks/change-stream.ts'
import { checkRoom } from '../src/preflight/checks/room.ts'
import { checkVersions } from '../src/preflight/checks/servers.ts'
import { checkTableTraits } from '../src/preflight/checks/table-traits.ts'
import { estimateMove } from '../src/preflight/estimate.ts'
import type { TableTrait } from '../src/preflight/facts/table-traits.ts'
import type { StreamKind } from '../src/stream/choose-stream.ts'

/** Judgements over facts that are hard to come by; the others are made of real servers in preflight.test.ts. */
const codes = (findings: readonly { readonly code: string }[]) => findings.map(({ code }) => code)

t.test('versions are held against what moves need and tables use', async (t) => {
  const needs = (since: number): TableTrait => ({
    trait: 'needs_version',
    schema: 'public',
    table: 'prices',
    subject: 'virtual generated column gross',
    since,
  })
  for (const [source, target, traits, expected] of [
    [180004, 180004, [], []],
    [150012, 180004, [], []],
    [180004, 150012, [], ['server_older']],
    [180004, 150012, [needs(18)], ['server_older', 'feature_missing']],
    [180004, 170002, [needs(17)], ['server_older']],
    [140020, 180004, [], ['server_unsupported']],
    [180004, 190000, [needs(18)], ['server_untested']],
    [190001, 190000, [], ['server_untested', 'server_untested']],
  ] as const) {
    const found = checkVersions(
      { name: 'us-1', versionNumber: source },
      { name: 'eu-1', versionNumber: target },
      traits,
      'public',
    )
    t.same(codes(found), expected, `${source} to ${target}`)
  }
  const one = { name: 'us-1', versionNumber: 140020 }
  t.same(codes(checkVersions(one, one, [], 'public')), ['server_unsupported'], 'one cluster is told once')
})

t.test('a change stream needs a log, slots and senders, and that they stay', async (t) => {
  const good = {
    walLevel: 'logical',
    slots: { most: 10, used: 8 },
    senders: { most: 10, used: 8 },
    slotKeepSize: null,
    slotIdleTimeout: null,
  }
  for (const [change, expected] of [
    [{}, []],
    [{ walLevel: 'replica' }, ['logical_decoding_off']],
    [{ slots: { most: 10, used: 9 } }, ['slots_exhausted']],
    [{ senders: { most: 10, used: 12 } }, ['senders_exhausted']],
    [{ slotKeepSize: '1GB', slotIdleTimeout: '1min' }, ['slot_may_be_lost', 'slot_may_be_lost']],
  ] as const) {
    t.same(codes(checkChangeStream({ name: 'us-1', server: { ...good, ...change } }, 2)), expected)
  }
})

const idleTarget = { templateBytes: 8e6, walBytesPerSecond: 0, slotKeepBytes: null }

t.test('what the target keeps for the old home is what comes while that is away', async (t) => {
  const source = { walBytesPerSecond: 1_000 }
  const target = { ...idleTarget, walBytesPerSecond: 30 }
  const kept = (stream: StreamKind, isOneServer: boolean, slotKeepBytes: number | null = null) =>
    estimateMove(
      [],
      source,
      { ...target, slotKeepBytes },
      { isolation: 'silo', isOneServer, window: { seconds: 60, stream } },
    ).extraDisk.windowBytes
  t.equal(kept('logical', false), 60 * 1_030, "its own log, and the tenant's")
  t.equal(kept('logical', true), 60 * 30, "the tenant's is in its own already")
  t.equal(kept('triggers', false), 60 * 1_000, "no other tenant's changes are noted")
  t.equal(kept('logical', false, 5_000), 5_000, 'a slot that is behind by more is given up')
  t.equal(kept('triggers', false, 5_000), 60 * 1_000)
})

t.test('room and connections are counted on both sides, and together where both are one', async (t) => {
  const tables = [{ table: 'orders', rowsEstimated: 1_000, bytesEstimated: 1e8, diskBytesEstimated: 2e8 }]
  const [source, target] = [{ walBytesPerSecond: 1e6 }, idleTarget]
  const estimate = (isolation: Isolation) =>
    estimateMove(tables, source, target, { isolation, isOneServer: false, window: undefined })
  const estimates = estimate('silo')
  const { connections } = estimate('pool')
  t.equal(connections.target, estimates.connections.target + 2, 'two write what a stream copies into a pool')
  t.match(estimates, { rows: 1_000, bytes: 1e8, extraDisk: { targetBytes: 208e6, windowBytes: 0 } })
  const withWindow = { ...estimates, extraDisk: { ...estimates.extraDisk, windowBytes: 1e8 } }
  t.equal(estimates.extraDisk.sourceBytes, Math.round(estimates.seconds * 1e6))
  const side = (name: string, capacityBytes: number | null, free: number) => ({
    name,
    capacityBytes,
    server: { usedBytes: 1e9, connections: { most: 100, used: 100 - free } },
  })
  for (const [source, target, expected] of [
    [side('us-1', null, 50), side('eu-1', null, 50), []],
    [side('us-1', null, 50), side('eu-1', 1.1e9, 50), ['target_without_room']],
    [side('us-1', 1e9, 50), side('eu-1', 1.3e9, 50), ['source_without_room']],
    [side('us-1', null, 1), side('eu-1', null, 1), ['connections_exhausted', 'connections_exhausted']],
    [side('us-1', null, 6), side('us-1', null, 6), ['connections_exhausted']],
    [side('us-1', null, 7), side('us-1', null, 7), []],
  ] as const) {
    t.same(codes(checkRoom(source, target, estimates)), expected)
  }
  for (const [capacityBytes, expected] of [
    [1.3e9, ['window_without_room']],
    [1.31e9, []],
    [null, []],
  ] as const) {
    const target = side('eu-1', capacityBytes, 50)
    t.same(codes(checkRoom(side('us-1', null, 50), target, withWindow)), expected)
  }
})

t.test('only what has lasted is in the way of a change stream', async (t) => {
  const transaction = { pid: 7, database: 'pool', role: 'report', application: '', seconds: 1 }
  const prepared = { name: 'forgotten', database: 'pool', seconds: 1 }
  t.same(checkActivity({ transactions: [transaction], prepared: [prepared] }), [])
  const old = { transactions: [{ ...transaction, seconds: 60 }], prepared: [{ ...prepared, seconds: 60 }] }
  t.same(codes(checkActivity(old)), ['transaction_open', 'prepared_transaction'])
})

t.test('what keeps reference tables from being held matters where they are copied to', async (t) => {
  const about = (trait: TableTrait['trait']): TableTrait => ({
    trait,
    schema: 'public',
    table: 'rates',
    subject: '2000000',
    since: null,
  })
  const traits = [about('reference_out_of_reach'), about('reference_large'), about('inherits')]
  const codes = (target: Isolation) => checkTableTraits(traits, 'public', target).map(({ code }) => code)
  const all = ['reference_table_out_of_reach', 'reference_table_large', 'table_inheritance']
  t.same(codes('silo'), all)
  t.same(codes('schema'), all)
  t.same(codes('pool'), ['table_inheritance'])
})
