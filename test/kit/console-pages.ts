import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { collectComplaints } from './browser.ts'

/** Long, because it is not time that a test of the console is about. */
const PATIENCE_MS = 60_000

export interface ConsolePages {
  /** What the pages have complained about that belong to tests which are over. */
  readonly complaints: readonly string[]
  /** A page of a browser that knows nobody. */
  open(t: Test, path?: string): Promise<Page>
  /** A page of whom the token stands for. */
  openAs(t: Test, token: string, path?: string): Promise<Page>
}

/** Opens pages of a console, each in a context of its own that ends with its test. */
export function consolePages(browser: Browser, origin: string, patienceMs = PATIENCE_MS): ConsolePages {
  const complaints: string[] = []
  async function open(t: Test, path = '/'): Promise<Page> {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 800 },
      reducedMotion: 'reduce',
    })
    t.teardown(() => context.close())
    const page = await context.newPage()
    page.setDefaultTimeout(patienceMs)
    const ofPage = collectComplaints(page, origin)
    t.teardown(() => void complaints.push(...ofPage))
    await page.goto(`${origin}${path}`)
    return page
  }
  return {
    complaints,
    open,
    async openAs(t, token, path) {
      const page = await open(t, path)
      await signIn(page, token)
      await page.getByRole('button', { name: /^Signed in as/ }).waitFor()
      return page
    },
  }
}

export async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('Operator token', { exact: true }).fill(token)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** The step of a move that its page marks as the present one. */
export const currentPhase = (page: Page) =>
  page.getByRole('list', { name: 'Phases' }).locator('[aria-current=step]')
