import type { Tenant } from '@freehold/contract'
import { ensureConsoleBuilt, startTemporaryStack } from '@freehold/local/stack'
import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { collectComplaints, launchBrowser } from '../kit/browser.ts'
import { consolePages, currentPhase, signIn } from '../kit/console-pages.ts'
import { ControlClient } from '../kit/control-client.ts'
import { operatorTokens } from '../kit/operator-token.ts'
import { type Load, type SeedPlan, seedTenant, spawnLoad } from '../load/index.ts'

// What an operator does with the console, in a real browser on a whole stack, while the tenants' clients go on. At
// the end these say whether they have noticed anything, and the browser whether it was asked for anything odd.

const ROWS = 20_000

await ensureConsoleBuilt()
const stack = await startTemporaryStack('console', { durability: 'fast' })
const browser = await launchBrowser()
t.teardown(async () => {
  await browser.close()
  await stack.remove()
})
const origin = stack.urls.controlApi
const tokens = await operatorTokens(stack)
const control = new ControlClient(origin, tokens.operator)
const tenants: { readonly tenant: Tenant; readonly seed: SeedPlan }[] = []
await createTenant({ slug: 'acme', name: 'Acme Corporation', region: 'us' }, ROWS)
await createTenant({ slug: 'globex', name: 'Globex', region: 'us' }, 400)
await createTenant({ slug: 'umbrella', name: 'Umbrella Pharma', region: 'eu', residency: 'eu' }, 400)
const load = await startTraffic()
t.teardown(() => load.close())
const pages = consolePages(browser, origin)

async function createTenant(asked: Parameters<ControlClient['createTenant']>[0], rows: number) {
  const tenant = await control.createTenant(asked)
  const seed = { rows, seed: tenants.length + 1 }
  await seedTenant({ database: homeOf(tenant), tenantId: tenant.id, plan: seed })
  tenants.push({ tenant, seed })
}

function homeOf({ placement }: Tenant) {
  return stack.superuserAddress(placement.cluster, placement.database)
}

function startTraffic(): Promise<Load> {
  const [clients, requestsPerSecond] = [4, 75]
  return spawnLoad({
    baseUrl: stack.urls.productApi,
    tenants: tenants.map(({ tenant, seed }) => ({
      id: tenant.id,
      token: stack.productToken(tenant.id),
      seed,
      clients,
    })),
    requestsPerSecond,
    seed: 1,
  })
}

/** A page of an operator, or a viewer, who has signed in. */
const openAs = (t: Test, role: 'operator' | 'viewer', path?: string) => pages.openAs(t, tokens[role], path)

/** Opens the dialog that promotes the tenant of the page. */
async function openPromotion(page: Page, slug: string): Promise<Locator> {
  await page.getByRole('button', { name: 'Promote' }).click()
  return page.getByRole('dialog', { name: `Move ${slug}` })
}

/** Writes down every phase that the page shows from now on. @returns what it has written down. */
async function watchPhases(page: Page): Promise<() => Promise<string[]>> {
  const phases = await page.evaluateHandle(() => {
    const seen: string[] = []
    const look = () => {
      for (const status of document.querySelectorAll('[role=status]')) {
        const phase = /^Phase (.+?)\./.exec(status.textContent)?.[1]
        if (phase !== undefined && seen.at(-1) !== phase) seen.push(phase)
      }
    }
    new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true })
    return seen
  })
  return () => phases.jsonValue()
}

/** What a tile of the measurements shows. */
const measured = (page: Page, name: string) =>
  page
    .getByLabel('Measurements')
    .locator('div', { has: page.getByText(name, { exact: true }) })
    .locator('dd')
    .first()

t.test('sign-in says what is wrong with a token', async (t) => {
  const page = await pages.open(t, '/moves')
  for (const [token, code] of [
    ['not a token', 'token_malformed'],
    [tokens.expired, 'token_expired'],
    [tokens.unsigned, 'token_malformed'],
    [tokens.forged, 'token_malformed'],
  ] as const) {
    await page.reload()
    await signIn(page, token)
    await page.getByRole('alert').filter({ hasText: code }).waitFor()
    t.equal(await page.getByRole('navigation', { name: 'Main' }).count(), 0, code)
  }
  await signIn(page, tokens.operator)
  await page.getByRole('heading', { level: 1, name: 'Moves' }).waitFor()
  t.pass('a good one leads to the page that was asked for')
})

t.test('an operator promotes a tenant under traffic and watches it move', async (t) => {
  const page = await openAs(t, 'operator')
  await page.getByRole('searchbox', { name: 'Search tenants' }).fill('acm')
  const table = page.getByRole('table', { name: 'Tenants' })
  await table.getByRole('link', { name: 'Globex' }).waitFor({ state: 'detached' })
  await table.getByRole('link', { name: 'Acme Corporation' }).click()
  await page.getByRole('heading', { level: 1, name: 'Acme Corporation' }).waitFor()

  const dialog = await openPromotion(page, 'acme')
  const start = dialog.getByRole('button', { name: 'Start move' })
  t.ok(await start.isDisabled(), 'a target is to be chosen first')
  await dialog.getByRole('radio', { name: 'Any cluster in eu' }).check()
  const plan = dialog.getByRole('region', { name: 'Plan' })
  await plan.getByText(/about \d\d,\d{3} rows/).waitFor()
  t.match(await plan.textContent(), /from pool on us-1 to silo_acme_\w+ on eu-1 in eu/)

  const phases = await watchPhases(page)
  await start.click()
  await page.getByRole('heading', { level: 1, name: 'Move of acme' }).waitFor()
  await page.getByText('Live', { exact: true }).waitFor()
  await currentPhase(page).filter({ hasText: 'Completed' }).waitFor()

  const seen = await phases()
  t.ok(seen.length >= 4, `saw ${seen.join(', ')}`)
  const steps = await page.getByRole('list', { name: 'Phases' }).getByRole('listitem').allTextContents()
  t.equal(steps.length, 10)
  t.ok(steps.every((step) => step.includes('done')))
  const order = seen.map((phase) => steps.findIndex((step) => step.startsWith(phase)))
  t.same(
    order,
    order.toSorted((a, b) => a - b),
    'the phases came in their order',
  )
  t.equal(order.at(-1), 9)

  const copy = page.getByRole('region', { name: 'Copy' })
  t.equal(await copy.getByRole('progressbar', { name: 'Rows copied' }).getAttribute('aria-valuenow'), '100')
  t.match(await measured(page, 'Write pause').textContent(), /^[\d.]+ (ms|s)$/)
  t.match(await measured(page, 'Rows copied').textContent(), /^\d\d,\d{3}$/)
  t.match(
    await page.getByRole('region', { name: 'Verification' }).textContent(),
    /Source and target are equal.*Mismatches0/,
  )
  t.match(
    await page.getByRole('list', { name: 'Timeline' }).getByRole('listitem').first().textContent(),
    /Completed|completed/,
  )
  t.equal(
    await page.getByRole('button', { name: 'Cancel move' }).count(),
    0,
    'there is nothing left to cancel',
  )

  await page.getByRole('link', { name: 'Show the tenant' }).click()
  const history = page.getByRole('list', { name: 'Placement history' }).getByRole('listitem')
  await history.nth(1).waitFor()
  const [now = '', before = '', ...more] = await history.allTextContents()
  t.match(now, /^Silo.*eu \/ eu-1.*Current.*silo_acme_\w+.* epoch 2/i)
  t.match(before, /^Pool.*us \/ us-1.*pool.* epoch 1/i)
  t.same(more, [])

  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Moves' }).click()
  await page.getByRole('table', { name: 'Finished moves' }).getByRole('link', { name: 'acme' }).waitFor()
})

t.test('a tenant is created, when its draft is right', async (t) => {
  const page = await openAs(t, 'operator')
  await page.getByRole('button', { name: 'Create tenant' }).click()
  const dialog = page.getByRole('dialog', { name: 'Create tenant' })
  const field = (name: string) => dialog.getByLabel(name, { exact: true })
  const submit = () => dialog.getByRole('button', { name: 'Create tenant' }).click()
  const refused = async (name: string, reason: RegExp) => {
    await submit()
    await dialog.getByText(reason).waitFor()
    t.match(await describedBy(field(name)), reason)
  }
  await refused('Name', /must not be empty/)
  await field('Name').fill('Initech')
  await field('Slug').fill("x'; drop table tenants")
  await refused('Slug', /must be 1 to 40 lower-case letters/)
  await field('Slug').fill('acme')
  await refused('Slug', /tenant_slug_taken: .*acme/)
  await field('Slug').fill('initech')
  await field('Tier').selectOption('pro')
  await field('Region').selectOption('us')
  await field('Residency').selectOption('eu')
  await refused('Residency', /residency_violation: /)
  await field('Region').selectOption('eu')
  await submit()
  await page.getByRole('heading', { level: 1, name: 'Initech' }).waitFor()
  const { placement, residency, tier } = await control.tenant('initech')
  t.match({ region: placement.region, residency, tier }, { region: 'eu', residency: 'eu', tier: 'pro' })
})

t.test('a pinned tenant is offered no target outside its jurisdiction', async (t) => {
  const page = await openAs(t, 'operator', '/tenants/umbrella')
  const dialog = await openPromotion(page, 'umbrella')
  for (const name of ['Any cluster in us', 'Cluster us-1']) {
    const radio = dialog.getByRole('radio', { name })
    await radio.waitFor()
    t.ok(await radio.isDisabled(), name)
    t.match(await describedBy(radio), /^residency_violation: .*\(eu\)\.$/)
  }
  t.notOk(await dialog.getByRole('radio', { name: 'Cluster eu-1' }).isDisabled())
})

t.test('a move that waits for a worker', async (t) => {
  // From here on every move stays planned until the worker is back.
  await stack.worker.stop()
  const [page, late] = await Promise.all([
    openAs(t, 'operator', '/tenants/umbrella'),
    openAs(t, 'operator', '/tenants/umbrella'),
  ])
  const lateDialog = await openPromotion(late, 'umbrella')
  await lateDialog.getByRole('radio', { name: 'Cluster eu-1' }).check()
  await lateDialog
    .getByRole('region', { name: 'Plan' })
    .getByText(/tables/)
    .waitFor()

  const dialog = await openPromotion(page, 'umbrella')
  await dialog.getByRole('radio', { name: 'Any cluster in eu' }).check()
  await dialog.getByRole('button', { name: 'Start move' }).click()
  await currentPhase(page).filter({ hasText: 'Planned' }).waitFor()

  await t.test('is not joined by a second one', async (t) => {
    await lateDialog.getByRole('button', { name: 'Start move' }).click()
    await lateDialog.getByRole('alert').filter({ hasText: 'tenant_moving' }).waitFor()
    t.pass('one that was prepared before is refused')
    await late.reload()
    await late.getByRole('region', { name: 'Running move' }).waitFor()
    const promote = late.getByRole('button', { name: 'Promote' })
    t.equal(await promote.getAttribute('aria-disabled'), 'true')
    await promote.click({ force: true })
    t.equal(await late.getByRole('dialog').count(), 0, 'another cannot be prepared')
    await late.getByRole('link', { name: 'Watch the move' }).click()
    await currentPhase(late).filter({ hasText: 'Planned' }).waitFor()
  })

  await t.test('is seen by a viewer, who can change nothing', async (t) => {
    const page = await openAs(t, 'viewer')
    const main = page.getByRole('main')
    for (const [go, shown] of [
      ['Tenants', main.getByRole('table', { name: 'Tenants' })],
      ['Umbrella Pharma', main.getByRole('region', { name: 'Running move' })],
      ['Watch the move', main.getByRole('list', { name: 'Timeline' })],
      ['Moves', main.getByRole('table', { name: 'Running moves' })],
    ] as const) {
      await page.getByRole('link', { name: go, exact: true }).click()
      await shown.waitFor()
      const buttons = await main.getByRole('button').allTextContents()
      t.notMatch(buttons.join(), /create|promote|move|cancel/i, `${go}: ${buttons}`)
    }
  })

  await t.test('is cancelled, and the tenant stays where it was', async (t) => {
    await page.getByRole('button', { name: 'Cancel move' }).click()
    const question = page.getByRole('dialog', { name: 'Cancel this move?' })
    await question.getByRole('button', { name: 'Cancel the move' }).click()
    await page.getByRole('button', { name: 'Cancelling' }).waitFor()
    await stack.worker.restart()
    await currentPhase(page).filter({ hasText: 'Aborted' }).waitFor()
    await page.getByRole('alert').filter({ hasText: 'move_cancelled' }).waitFor()
    await page.getByRole('link', { name: 'Show the tenant' }).click()
    await page.getByRole('region', { name: 'Placement history' }).waitFor()
    t.equal(await page.getByRole('list', { name: 'Placement history' }).getByRole('listitem').count(), 1)
  })

  await t.test('and signing out forgets the token', async (t) => {
    await page.getByRole('button', { name: /^Signed in as operator/ }).click()
    await page.getByRole('menuitem', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: 'Sign in' }).waitFor()
    t.equal(await page.evaluate(() => sessionStorage.length + localStorage.length), 0)
  })
})

t.test('the browser refuses, and this test notices, what comes from elsewhere', async (t) => {
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  const noticed = collectComplaints(page, origin)
  await page.goto(origin)
  await Promise.all([
    page.waitForEvent('console'),
    page.evaluate(() =>
      document.body.append(Object.assign(new Image(), { src: 'http://elsewhere.test/pixel' })),
    ),
  ])
  t.match(noticed.join(), /elsewhere\.test.*Content Security Policy/)
})

t.test('afterwards nothing is lost, and nobody has seen an error', async (t) => {
  const traffic = await load.stop()
  t.match(traffic, { failed: 0, mismatches: 0, foreignRows: 0, failures: [] })
  const homes = await Promise.all(
    tenants.map(async ({ tenant }) => ({
      tenantId: tenant.id,
      database: homeOf(await control.tenant(tenant.id)),
    })),
  )
  const proof = await load.prove({ homes })
  t.match(proof, { ok: true, writesLost: 0, writesDuplicated: 0, rowsWrong: 0, foreignRows: 0, samples: [] })
  t.ok(traffic.writesAcknowledged > 100 && proof.rows > ROWS)
  t.comment(`${traffic.requests} requests, ${proof.rows} rows`)
  const refused = (path: string, status: string) =>
    `${path}: Failed to load resource: the server responded with a status of ${status}`
  t.same(
    pages.complaints,
    [
      refused('/v1/me', '401 (Unauthorized)'),
      refused('/v1/tenants', '409 (Conflict)'),
      refused('/v1/moves', '409 (Conflict)'),
    ],
    'the forged token, the second acme and the second move, and nothing else',
  )
})

/** The text that a screen reader adds to the name of a control. */
function describedBy(control: Locator): Promise<string> {
  return control.evaluate((element) =>
    (element.getAttribute('aria-describedby') ?? '')
      .split(' ')
      .map((id) => document.getElementById(id)?.textContent ?? '')
      .join(' '),
  )
}
