import { type ClusterId, clusterIdSchema, type MoveDetail, type Tenant } from '@freehold/contract'
import { ensureConsoleBuilt } from '@freehold/local/stack'
import { withClient } from '@freehold/postgres'
import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { accessibilityFaults, tabTo } from '../kit/accessibility.ts'
import { launchBrowser } from '../kit/browser.ts'
import { consolePages, currentPhase } from '../kit/console-pages.ts'
import { buildTestControlApi } from '../kit/control-api.ts'
import { prepareMovingGround } from '../kit/moving-ground.ts'

// What an operator asks of moves in a real browser, against the real control API. An engine runs only where a test
// starts it, so that whatever is looked at before stays as it is.

/** However slow the machine is: what is waited for comes, or the test has failed. */
const PATIENCE_MS = 300_000

await ensureConsoleBuilt()
const ground = await prepareMovingGround()
const api = await buildTestControlApi(ground)
const origin = await api.app.listen({ host: '127.0.0.1', port: 0 })
const browser = await launchBrowser()
t.teardown(async () => {
  await browser.close()
  await api.close()
  await ground.remove()
})
const { catalog } = ground
const us = clusterIdSchema.parse('us-1')
const eu = clusterIdSchema.parse('eu-1')
const pages = consolePages(browser, origin, PATIENCE_MS)
const open = (t: Test, path: string) => pages.openAs(t, api.token(), path)

/** Whatever is due is worked on until the test ends. */
function startEngine(t: Test, options: Parameters<typeof ground.engine>[0] = {}): void {
  const engine = ground.engine(options)
  engine.start()
  t.teardown(() => engine.stop())
}

const dialogOf = (page: Page, { slug }: Tenant) => page.getByRole('dialog', { name: `Move ${slug}` })
const planOf = (dialog: Locator) => dialog.getByRole('region', { name: 'Plan' })
const startOf = (dialog: Locator) => dialog.getByRole('button', { name: 'Start move' })

/** Opens the dialog of a tenant's page in which a move is asked for. */
async function openDialog(page: Page, tenant: Tenant): Promise<Locator> {
  await page.getByRole('button', { name: /^(Promote|Move)$/ }).click()
  const dialog = dialogOf(page, tenant)
  await dialog.getByRole('radiogroup', { name: 'Target' }).waitFor()
  return dialog
}

/** The newest move of a tenant, if there is one. */
async function newestMove({ id }: Tenant): Promise<MoveDetail | undefined> {
  const { items } = await catalog.moves.list({ tenant: id, limit: 1 })
  return items[0] && catalog.moves.detail(items[0].id)
}

const hinting = await ground.tenant('hinting', 10)

t.test('a tenant is moved to each isolation, with its plan seen before', async (t) => {
  startEngine(t)
  for (const { slug, tier, offered, isolation, kind, to } of [
    {
      slug: 'of-pro',
      tier: 'pro',
      offered: 'schema',
      kind: 'promotion: pool to schema',
      to: /pool\.t_of_pro_/,
    },
    { slug: 'of-free', tier: 'free', offered: 'silo', kind: 'promotion: pool to silo', to: /silo_of_free_/ },
    {
      slug: 'of-us',
      tier: 'enterprise',
      offered: 'silo',
      isolation: 'pool',
      kind: 'relocation: pool',
      to: /pool/,
    },
  ] as const) {
    const tenant = await ground.tenant(slug, 20, undefined, tier)
    const page = await open(t, `/tenants/${slug}`)
    const dialog = await openDialog(page, tenant)
    t.ok(await dialog.getByRole('radio', { name: offered }).isChecked(), `${slug}: ${offered} is offered`)
    t.match(await dialog.getByText(`; the ${tier} tier’s`).count(), 1)
    if (isolation !== undefined) {
      await dialog.getByRole('radio', { name: 'Cluster us-1' }).waitFor()
      await dialog.getByRole('radio', { name: isolation, exact: true }).check()
      t.ok(await dialog.getByRole('radio', { name: 'Cluster us-1' }).isDisabled(), 'where it lives already')
    }
    await dialog.getByRole('radio', { name: 'Cluster eu-1' }).check()
    const plan = planOf(dialog)
    await plan.getByText(kind).waitFor()
    const text = (await plan.textContent()) ?? ''
    t.match(text, /\d tables, about \d+ rows, .*B from pool on us-1 to /)
    t.match(text, to)
    t.match(text, /About .* s; about .*B of disk at the target, and .*B of log at the source/)
    t.match(text, /up to \d connections at the source and \d at the target, with 2 replication slots/)
    t.match(text, /advisory.*Remedy: /)
    await startOf(dialog).click()
    await page.getByRole('heading', { level: 1, name: `Move of ${slug}` }).waitFor()
    await page.getByRole('heading', { level: 1 }).locator('..').getByText(kind).waitFor()
    await currentPhase(page).filter({ hasText: 'Completed' }).waitFor()
    t.match(await page.getByRole('region', { name: 'To', exact: true }).textContent(), to)
    const move = await newestMove(tenant)
    t.match(move, { phase: 'completed', to: { isolation: isolation ?? offered, cluster: eu } })
  }
})

t.test('a move that something blocks is not started, and says what to do about it', async (t) => {
  const away = clusterIdSchema.parse('eu-away')
  const known = await catalog.topology.cluster(eu)
  await catalog.topology.registerCluster({ ...known, id: away })
  const page = await open(t, '/tenants/hinting')
  const dialog = await openDialog(page, hinting)

  t.ok(await dialog.getByRole('radio', { name: 'Cluster eu-away' }).isEnabled())
  await dialog.getByRole('radio', { name: 'schema', exact: true }).check()
  const withoutPool = dialog.getByRole('radio', { name: 'Cluster eu-away' })
  t.ok(await withoutPool.isDisabled(), 'there is no pool for a schema')
  await dialog.getByText(/^pool_not_found: /).waitFor()
  await dialog.getByRole('radio', { name: 'silo', exact: true }).check()
  await withoutPool.check()
  await planOf(dialog)
    .getByText(/row_trigger/)
    .waitFor()

  // What holds when the plan is made does not hold any more when it is carried out.
  await catalog.topology.registerCluster({ ...known, id: away, port: 1 })
  await startOf(dialog).click()
  const refusal = dialog.getByRole('alert').filter({ hasText: 'target_unreachable' })
  await refusal.waitFor()
  t.match(await refusal.textContent(), /Next: \S/)
  t.equal(await newestMove(hinting), undefined, 'nothing was started')

  await dialog.getByRole('checkbox', { name: 'Repair rows that differ' }).check()
  const findings = planOf(dialog).getByRole('list', { name: 'Findings' }).getByRole('listitem')
  await findings.filter({ hasText: 'target_unreachable' }).waitFor()
  const told = await findings.allTextContents()
  t.match(told[0], /^blocking .*Remedy: \S.*target_unreachable$/)
  t.match(told.at(-1), /^advisory .*Remedy: \S/)
  const severities = told.map((text) => text.split(' ')[0])
  t.ok(severities.lastIndexOf('blocking') < severities.indexOf('advisory'), severities.join())
  t.ok(await startOf(dialog).isDisabled())
  t.equal(await newestMove(hinting), undefined)
  await catalog.topology.registerCluster({ ...known, id: away })
})

t.test('a move is rolled back out of its window', async (t) => {
  startEngine(t)
  const tenant = await ground.tenant('returning', 20)
  const page = await open(t, '/tenants/returning')
  const dialog = await openDialog(page, tenant)
  await dialog.getByRole('radio', { name: 'Cluster eu-1' }).check()
  await planOf(dialog).getByText('It cannot be rolled back after the switch.').waitFor()
  await dialog.getByRole('combobox', { name: 'Rollback window' }).selectOption({ label: '1 hour' })
  await planOf(dialog).getByText('After the switch it can be rolled back for 1 h.').waitFor()
  await startOf(dialog).click()
  await page.getByText('Can be rolled back; the window closes').waitFor()
  await page.getByRole('button', { name: 'Roll back' }).click()
  const question = page.getByRole('dialog', { name: 'Roll this move back?' })
  await question.getByText('returning goes back to pool in us').waitFor()
  await question.getByRole('button', { name: 'Roll back' }).click()
  await currentPhase(page).filter({ hasText: 'Rolled back' }).waitFor()
  t.equal((await catalog.tenants.get(tenant.id)).placement.cluster, us)
  t.match(await newestMove(tenant), { phase: 'rolled_back' })
  t.equal(await page.getByRole('button', { name: 'Roll back' }).count(), 0)
})

t.test('a cluster is emptied, from the dry run to the end', async (t) => {
  await withClient(ground.us.as('freehold_control', 'freehold_catalog'), 'test', (client) =>
    client.query("update catalog.tenants set residency = 'eu' where slug = 'of-us'"),
  )
  const page = await open(t, '/clusters')
  await page.getByRole('table', { name: 'Clusters' }).getByRole('link', { name: 'eu-1' }).click()
  await page.getByRole('combobox', { name: 'To' }).selectOption({ label: 'Region us' })
  const start = page.getByRole('button', { name: 'Start draining' })
  const check = page.getByRole('button', { name: 'Check its tenants' })
  t.ok(await start.isDisabled(), 'its tenants are to be checked first')
  await check.click()
  await page.getByText('2 tenants can leave eu-1, 1 cannot now.').waitFor()
  const planned = page.getByRole('table', { name: 'Tenants that would leave' }).locator('tbody tr')
  const [first = '', ...others] = await planned.allTextContents()
  t.match(first, /^of-us–residency_violation: .*Next: \S/, 'what is in the way comes first')
  t.same(others, ['of-freeus-1none', 'of-prous-1none'])
  t.equal(await drainingSince(eu), null, 'a dry run changes nothing')
  await page.getByLabel('Moves at the same time').fill('1')
  t.ok(await start.isDisabled(), 'a plan is of what it was made for')
  await check.click()
  await page.getByText('2 tenants can leave eu-1').waitFor()
  await start.click()

  const { panel, tile } = evacuationOn(page)
  await tile('Waiting').filter({ hasText: /^3$/ }).waitFor()
  await page.getByText('Draining', { exact: true }).waitFor()
  t.same(await accessibilityFaults(page), [])

  // The second of them stands still until it has been looked at.
  const release = Promise.withResolvers<void>()
  t.teardown(() => release.resolve())
  startEngine(t, {
    barrier: async () => {
      if ((await catalog.evacuations.get(eu)).moved > 0) await release.promise
    },
  })
  await tile('Moved').filter({ hasText: /^1$/ }).waitFor()
  await tile('Moving').filter({ hasText: /^1$/ }).waitFor()
  t.match(await tile('Rate').textContent(), /^[\d,]+$/)
  t.match(await tile('Time left').textContent(), /\d (s|min|h)\b/)
  release.resolve()
  await panel.getByText(/^Ended /).waitFor()
  t.same(
    await Promise.all(['Moved', 'Moving', 'Waiting', 'Refused'].map((name) => tile(name).textContent())),
    ['2', '0', '0', '1'],
  )
  const rows = panel.getByRole('table', { name: 'Tenants of the evacuation' }).locator('tbody tr')
  t.match(
    await rows.filter({ hasText: 'Refused' }).textContent(),
    /^of-usRefused.*residency_violation: .*Next: \S/,
  )
  t.match(await catalog.evacuations.get(eu), { moved: 2, refused: 1, left: 1 })
  await rows.getByRole('link', { name: 'Move of of-free' }).click()
  await page.getByRole('heading', { level: 1, name: 'Move of of-free' }).waitFor()
  await currentPhase(page).filter({ hasText: 'Completed' }).waitFor()
  await catalog.evacuations.undrain(eu)
})

t.test('a dry run goes on from page to page, and an evacuation is stopped', async (t) => {
  // One more than the API checks with a request.
  const slugs = Array.from({ length: 21 }, (_, number) => `one-of-${number}`)
  for (const slug of slugs) await ground.tenant(slug, 1)
  const { left } = await catalog.evacuations.residents(us, 1)
  const page = await open(t, '/clusters/us-1')
  let asked = 0
  page.on('request', (request) => {
    if (request.url().endsWith('/v1/clusters/us-1/drain')) asked++
  })
  await page.getByRole('combobox', { name: 'To' }).selectOption({ label: 'Cluster eu-1' })
  await page.getByRole('button', { name: 'Check its tenants' }).click()
  await page.getByText(/^Checked \d+ of \d+ tenants\.$/).waitFor()
  await page.getByText(`${left} tenants can leave us-1, 0 cannot now.`).waitFor()
  t.equal(asked, Math.ceil(left / 20))
  await page
    .getByRole('navigation', { name: 'Pages of the dry run' })
    .getByRole('button', { name: 'Next' })
    .click()
  await page.getByText('Page 2').waitFor()

  await page.getByRole('button', { name: 'Start draining' }).click()
  const { panel, tile } = evacuationOn(page)
  await tile('Waiting')
    .filter({ hasText: new RegExp(`^${left}$`) })
    .waitFor()
  t.ok(await drainingSince(us))
  await page.getByRole('button', { name: 'Stop draining' }).click()
  const question = page.getByRole('dialog', { name: 'Stop draining us-1?' })
  await question.getByRole('button', { name: 'Stop it' }).click()
  await panel.getByText(/^Ended /).waitFor()
  await page.getByText('Draining', { exact: true }).waitFor({ state: 'detached' })
  t.equal(await drainingSince(us), null)
  t.equal((await catalog.evacuations.residents(us, 1)).left, left, 'all of them have stayed')
})

t.test('a viewer sees an evacuation and can change nothing', async (t) => {
  const page = await pages.openAs(t, api.token('viewer'), '/clusters/eu-1')
  await page.getByRole('region', { name: 'Evacuation' }).waitFor()
  t.notMatch((await page.getByRole('main').getByRole('button').allTextContents()).join(), /drain|check/i)
})

t.test('everything can be reached by keyboard, and axe finds no fault', async (t) => {
  const page = await open(t, '/tenants/hinting')
  const faultless = async (where: string) => t.same(await accessibilityFaults(page), [], where)
  await page.getByRole('list', { name: 'Placement history' }).waitFor()
  await faultless('a tenant')
  await tabTo(page, page.getByRole('button', { name: 'Promote' }))
  await page.keyboard.press('Enter')
  const dialog = dialogOf(page, hinting)
  const radio = (name: string) => dialog.getByRole('radio', { name, exact: true })
  await radio('silo').waitFor()
  await tabTo(page, radio('silo'))
  await page.keyboard.press('ArrowLeft')
  t.ok(await radio('schema').isChecked())
  await tabTo(page, radio('Any cluster in eu'))
  await page.keyboard.press('Space')
  await planOf(dialog).getByText('promotion: pool to schema').waitFor()
  await faultless('a plan')
  await tabTo(page, startOf(dialog))
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { level: 1, name: 'Move of hinting' }).waitFor()
  await currentPhase(page).filter({ hasText: 'Planned' }).waitFor()
  await faultless('a move')
  t.match(await newestMove(hinting), { phase: 'planned', to: { isolation: 'schema' } })

  for (const [path, shown] of [
    ['/tenants', page.getByRole('table', { name: 'Tenants' })],
    ['/moves', page.getByRole('table', { name: 'Running moves' })],
    ['/clusters', page.getByRole('table', { name: 'Clusters' })],
  ] as const) {
    await tabTo(page, page.getByRole('navigation', { name: 'Main' }).locator(`a[href="${path}"]`))
    await page.keyboard.press('Enter')
    await shown.waitFor()
    await faultless(path)
  }
  await tabTo(page, page.getByRole('link', { name: 'eu-1' }))
  await page.keyboard.press('Enter')
  await tabTo(page, page.getByRole('combobox', { name: 'To' }))
  await page.keyboard.press('ArrowDown')
  await tabTo(page, page.getByRole('button', { name: 'Check its tenants' }))
  await page.keyboard.press('Enter')
  await page.getByText(/^\d+ tenants? can leave eu-1/).waitFor()
  await faultless('a dry run')
})

t.test('no page has complained of anything but what it was refused', async (t) => {
  const refused = (path: string, status: string) =>
    `${path}: Failed to load resource: the server responded with a status of ${status}`
  t.same([...new Set(pages.complaints)].toSorted(), [
    refused('/v1/clusters/eu-1/evacuation', '404 (Not Found)'),
    refused('/v1/clusters/us-1/evacuation', '404 (Not Found)'),
    refused('/v1/moves', '503 (Service Unavailable)'),
  ])
})

async function drainingSince(cluster: ClusterId): Promise<string | null | undefined> {
  return (await catalog.topology.read()).clusters.find(({ id }) => id === cluster)?.drainingSince
}

/** What a page says of an evacuation. */
function evacuationOn(page: Page) {
  const panel = page.getByRole('region', { name: 'Evacuation' })
  const tile = (name: string) =>
    panel
      .locator('dl > div', { has: page.getByText(name, { exact: true }) })
      .locator('dd')
      .first()
  return { panel, tile }
}
