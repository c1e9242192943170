import { diagnose } from '@freehold/doctor'
import { withClient } from '@freehold/postgres'
import t from 'tap'
import { makeFreeholdManifest } from '../../../scripts/lib/freehold-manifest.ts'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { createDataDatabase } from '../../../test/kit/databases.ts'
import { FREEHOLD_MANIFEST } from '../src/facts/freehold-manifest.ts'

t.test('the manifest is what the migrations make: npm run manifest', async (t) => {
  t.same(await makeFreeholdManifest(), FREEHOLD_MANIFEST)
})

t.test('what product code and everybody may do in the schema freehold', async (t) => {
  const rights = (role: string) =>
    FREEHOLD_MANIFEST.grants
      .filter((key) => key.endsWith(` to ${role}`))
      .map((key) => key.replace(/ to \w+$/, ''))
  t.same(
    rights('freehold_app').map((key) => key.replace(/\(.*/, '')),
    [
      'EXECUTE on function freehold.enter_reader',
      'EXECUTE on function freehold.enter_writer',
      'EXECUTE on function freehold.is_schema_of_another',
      'EXECUTE on function freehold.late_writer',
      'EXECUTE on function freehold.stage_rows',
      'SELECT on table freehold.entered',
      'SELECT on table freehold.entered_to_write',
      'SELECT on table freehold.managed_table',
      'USAGE on schema freehold',
    ],
  )
  t.ok(rights('public').every((key) => key.startsWith('EXECUTE on function ')))
  const definers = Object.entries(FREEHOLD_MANIFEST.objects)
    .filter(([, { create }]) => /\bSECURITY DEFINER\b/.test(create ?? ''))
    .map(([key]) => key.replace('function', 'EXECUTE on function'))
  for (const right of rights('public')) t.notOk(definers.includes(right), `${right} is its caller's`)
  t.notOk(FREEHOLD_MANIFEST.grants.some((key) => key.includes('with grant option')))
})

t.test('policies of protect_table() are recognised, whatever the type of the tenant column', async (t) => {
  const { cluster, passwords } = await startPreparedCluster('doctor-policies')
  t.teardown(() => cluster.remove())
  await createDataDatabase(cluster, passwords, 'pool', { product: false })
  const types = ['uuid', 'bigint', 'integer', 'text', 'varchar', 'varchar(40)']
  await withClient(cluster.address('pool'), 'test', async (client) => {
    await client.query(`set role freehold_owner; select freehold.create_tenant_schema('Acme''s');`)
    for (const [index, type] of types.entries()) {
      for (const schema of ['public', `"Acme's"`]) {
        for (const column of ['tenant_id', '"Account Id"', '"order"']) {
          const table = `${schema}."t${index} ${column.replaceAll('"', '')}"`
          await client.query(`create table ${table} (${column} ${type} not null, id int not null)`)
          await client.query('select freehold.protect_table($1, $2)', [table, column.replaceAll('"', '')])
        }
      }
    }
  })
  const report = await diagnose(cluster.address('pool'), { trial: false })
  t.equal(report.tables.tenant.length, types.length * 6)
  t.same(
    report.findings.filter(({ check }) => check.startsWith('policy-') || check.startsWith('freehold-')),
    [],
  )
})
