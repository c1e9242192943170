import { type Browser, chromium, type Page } from 'playwright-core'

/** Starts the machine's Chromium, without a window, with a new profile, and unable to find any host by name. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    ],
  })
}

/**
 * Collects what a page should not do: errors on its console (violations of its content security policy and refused
 * requests are among them), exceptions, and requests to anywhere but `origin`.
 */
export function collectComplaints(page: Page, origin: string): string[] {
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() !== 'error') return
    const { url } = message.location()
    complaints.push(`${url.replace(origin, '')}: ${message.text()}`)
  })
  page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`))
  page.on('crash', () => complaints.push('the page crashed'))
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) complaints.push(`request to ${request.url()}`)
  })
  page.on('websocket', (socket) => complaints.push(`connection to ${socket.url()}`))
  return complaints
}
