import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { isFreeholdError } from '@freehold/contract'
import { diagnose, readAddress } from '@freehold/doctor'
import t from 'tap'
import { startPreparedCluster } from '../../../test/kit/control-plane.ts'
import { checks } from '../src/checks/index.ts'
import { vulnerabilitiesOf } from '../src/checks/server-version.ts'
import {
  castsBareSetting,
  isAlwaysTrue,
  isTenantBound,
  readsSetting,
  wrapsColumn,
} from '../src/expressions.ts'

t.test('policies, as the server prints them', async (t) => {
  const setting = `current_setting('app.tenant_id'::text, true)`
  for (const bound of [
    `(tenant_id = (NULLIF(${setting}, ''::text))::uuid)`,
    `(tenant_id = ( SELECT entered.tenant_id FROM freehold.entered))`,
    `((tenant_id)::text = ${setting})`,
    `(${setting} = (tenant_id)::text)`,
    `((NOT deleted) AND (tenant_id = app.me()))`,
    `((tenant_id = app.me()) OR (tenant_id = app.other()))`,
    `(notes.tenant_id = app.me())`,
    `((note <> ' OR '::text) AND (tenant_id = app.me()))`,
    `((tenant_id)::text = (CURRENT_USER)::text)`,
  ]) {
    t.ok(isTenantBound(bound, 'tenant_id'), bound)
  }
  for (const open of [
    'true',
    '(tenant_id = tenant_id)',
    `(tenant_id = 'x'::text)`,
    `((tenant_id = app.me()) OR (tenant_id IS NULL))`,
    `((tenant_id = app.me()) OR public)`,
    `(tenant_id <> app.me())`,
    `(parent_tenant_id = app.me())`,
    `(note = 'tenant_id = app.me()'::text)`,
  ]) {
    t.notOk(isTenantBound(open, 'tenant_id'), open)
  }
  t.ok(isTenantBound(`("Tenant" = app.me())`, 'Tenant'))
  t.ok(isAlwaysTrue('((true))'))
  t.notOk(isAlwaysTrue('(true AND x)'))
  t.ok(wrapsColumn(`((tenant_id)::text = ${setting})`, 'tenant_id', 'uuid'))
  t.ok(wrapsColumn(`(lower(tenant_id) = ${setting})`, 'tenant_id', 'text'))
  t.notOk(wrapsColumn(`((tenant_id)::text = ${setting})`, 'tenant_id', 'character varying(20)'))
  t.notOk(wrapsColumn(`(tenant_id = (${setting})::uuid)`, 'tenant_id', 'uuid'))
  t.ok(castsBareSetting(`(tenant_id = (${setting})::uuid)`))
  t.notOk(castsBareSetting(`(tenant_id = (NULLIF(${setting}, ''::text))::uuid)`))
  t.notOk(castsBareSetting(`(tenant_id = ${setting})`))
  t.ok(readsSetting(setting))
})

t.test('docs/doctor.md names every check with its weight', async (t) => {
  const document = await readFile(new URL('../../../docs/doctor.md', import.meta.url), 'utf8')
  const listed = [...document.matchAll(/^\| `([a-z-]+)` +\| (blocking|advisory) \|/gm)]
  t.same(
    listed.map(([, id, severity]) => `${id} ${severity}`),
    checks.map(({ id, severity }) => `${id} ${severity}`),
  )
})

t.test('minor versions and what they are known for', async (t) => {
  const ids = (version: number) => vulnerabilitiesOf(version).map(({ id }) => id)
  t.same(ids(180_007), [])
  t.same(ids(180_004), ['CVE-2026-16239', 'CVE-2026-120154'])
  t.same(ids(170_012), [])
  t.ok(ids(170_000).includes('CVE-2024-10976'))
  t.notOk(ids(170_001).includes('CVE-2024-10978'))
  t.ok(ids(170_005).includes('CVE-2025-8713'))
  t.notOk(ids(170_006).includes('CVE-2025-8713'))
  t.ok(ids(150_003).includes('CVE-2023-39418'))
  t.notOk(ids(140_000).includes('CVE-2023-39418'), 'there was no MERGE')
  t.ok(ids(120_022).includes('CVE-2025-8713'), 'a major that gets no fixes keeps them')
  t.same(ids(190_000), [], 'of what is not known nothing is said')
})

t.test('addresses', async (t) => {
  const environment = { PGPASSWORD: 'from the environment', PGUSER: 'somebody', PGDATABASE: 'shop' }
  const url = 'postgres://ann:in%20url@db:6000/store?sslmode=disable'
  t.match(await readAddress(url), { user: 'ann', password: 'in url', port: 6000, database: 'store' })
  t.match(await readAddress('postgres://ann@db/store', { environment }), { password: 'from the environment' })
  t.match(await readAddress('postgres://db', { environment }), { user: 'somebody', database: 'shop' })
  process.env.DOCTOR_TEST_PASSWORD = 'by reference'
  t.match(await readAddress(url, { passwordRef: 'env:DOCTOR_TEST_PASSWORD' }), { password: 'by reference' })
  for (const [wrong, reason] of [
    ['nonsense of s3cret', /it is not a URL/],
    ['mysql://ann:s3cret@db/store', /begins with postgres/],
    ['postgres://ann:s3cret@db/store?sslmode=maybe', /sslmode is/],
    ['postgres://:s3cret@db', /must name a host, a user and a database/],
    ['postgres://ann:s3cret%@db/store', /it is not a URL/],
  ] as const) {
    const error = await readAddress(wrong).catch((thrown: unknown) => thrown)
    t.ok(isFreeholdError(error, 'config_invalid'), wrong)
    t.match(String(error), reason)
    t.notMatch(String(error), 's3cret')
  }
  await t.rejects(readAddress(url, { passwordRef: 'env:NOT_SET_ANYWHERE' }), { code: 'config_invalid' })
})

t.test('connections that do not come about, and options that are wrong', async (t) => {
  const prepared = await startPreparedCluster('doctor-parts')
  t.teardown(() => prepared.cluster.remove())
  const good = prepared.cluster.address('postgres')
  const refused = { code: 'inspected_database_refused' }
  await t.rejects(diagnose({ ...good, password: 's3cret' }), refused)
  await t.rejects(diagnose({ ...good, password: '' }), refused)
  await t.rejects(diagnose({ ...good, user: 'nobody' }), refused)
  await t.rejects(diagnose({ ...good, database: 'nowhere' }), refused)
  await t.rejects(diagnose({ ...good, tls: 'require' }), {
    code: 'inspected_database_unreachable',
    message: /sslmode=disable/,
  })
  const nobody = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => nobody.once('listening', resolve))
  const address = nobody.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await new Promise((resolve) => nobody.close(resolve))
  const unreachable = { code: 'inspected_database_unreachable' }
  await t.rejects(diagnose({ ...good, port }), unreachable)
  await t.rejects(diagnose({ ...good, host: 'nowhere.invalid' }), unreachable)
  const error = await diagnose({ ...good, password: 's3cret' }).catch((thrown: unknown) => thrown)
  t.notMatch(JSON.stringify(error), 's3cret')

  await t.rejects(diagnose(good), { code: 'config_invalid', message: /--app-role/ })
  await t.rejects(diagnose(good, { appRole: 'nobody' }), {
    code: 'config_invalid',
    message: /no role nobody/,
  })
  await t.rejects(diagnose(good, { appRole: '' }), { code: 'config_invalid', message: /appRole/ })
  await t.rejects(diagnose(good, { settings: ['search_path'] }), {
    code: 'config_invalid',
    message: /settings/,
  })
  t.match(await diagnose(good, { appRole: 'freehold_app' }), { limits: [/no tenant table/] })
})
