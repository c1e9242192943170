// Writes the pictures of the console that the documentation shows: `npm run screenshots`. They are of a real move, so
// ids and measurements differ from one run to the next.
import { join } from 'node:path'
import { ensureConsoleBuilt, startTemporaryStack } from '@freehold/local/stack'
import type { Page } from 'playwright-core'
import { launchBrowser } from '../test/kit/browser.ts'
import { ControlClient } from '../test/kit/control-client.ts'
import { operatorTokens } from '../test/kit/operator-token.ts'
import { type Load, spawnLoad } from '../test/load/index.ts'
import { createExampleTenants, MOVING, SEED } from './lib/example-tenants.ts'
import { root } from './lib/run-program.ts'

const PATIENCE_MS = 120_000

await ensureConsoleBuilt()
const stack = await startTemporaryStack('screenshots')
const browser = await launchBrowser()
try {
  await photographMove()
} finally {
  await browser.close()
  await stack.remove()
}

async function photographMove(): Promise<void> {
  const { operator: token } = await operatorTokens(stack)
  const control = new ControlClient(stack.urls.controlApi, token)
  await createExampleTenants(stack, control)
  const { id: tenantId } = await control.tenant(MOVING.slug)
  const [tenants, page] = [await openConsole(token), await openConsole(token)]
  const load = await startTraffic(tenantId)
  try {
    const move = await control.startMove({ tenant: tenantId, target: { isolation: 'silo', region: 'eu' } })
    await page.goto(`${stack.urls.controlApi}/moves/${move.id}`)
    await tenants.reload()
    await tenants.getByRole('link', { name: 'Moving' }).waitFor()
    await photograph(tenants, 'tenants')
    await tenants.close()

    // By then everything has been measured, and it still goes on.
    const phase = page.getByRole('list', { name: 'Phases' }).locator('[aria-current=step]')
    await phase.filter({ hasText: /Finalize|Completed/ }).waitFor()
    await photograph(page, 'move')

    await phase.filter({ hasText: 'Completed' }).waitFor()
    await page.getByRole('link', { name: 'Show the tenant' }).click()
    await page.getByRole('list', { name: 'Placement history' }).getByRole('listitem').nth(1).waitFor()
    await photograph(page, 'tenant')
  } finally {
    await load.close()
  }
}

async function openConsole(token: string): Promise<Page> {
  const page = await browser.newPage({
    viewport: { width: 1280, height: 800 },
    colorScheme: 'light',
    reducedMotion: 'reduce',
    locale: 'en-GB',
    timezoneId: 'UTC',
  })
  page.setDefaultTimeout(PATIENCE_MS)
  await page.goto(stack.urls.controlApi)
  await page.getByLabel('Operator token', { exact: true }).fill(token)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('table', { name: 'Tenants' }).waitFor()
  return page
}

function startTraffic(tenantId: string): Promise<Load> {
  const token = stack.productToken(tenantId)
  return spawnLoad({
    baseUrl: stack.urls.productApi,
    tenants: [{ id: tenantId, token, seed: { rows: MOVING.rows, seed: SEED }, clients: 8 }],
    requestsPerSecond: 100,
    seed: SEED,
  })
}

async function photograph(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(root, 'docs', 'images', `console-${name}.png`) })
}
