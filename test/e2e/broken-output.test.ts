import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t from 'tap'
import { within } from '../../infra/local/test/support.ts'
import { productToken } from '../kit/product-api.ts'

const NOWHERE = 'postgres://nobody:nothing@127.0.0.1:1/nothing?sslmode=disable'
const SECRET = 'a secret of thirty-two characters'
const PATIENCE_MS = 15_000

/** What each process needs to start; none of it need be there. */
const environment = {
  PORT: '0',
  LOG_LEVEL: 'info',
  FREEHOLD_CATALOG_URL: NOWHERE,
  FREEHOLD_QUEUE_DATABASE_URL: NOWHERE,
  FREEHOLD_ENTRY_SECRET: SECRET,
  FREEHOLD_OPERATOR_SECRET: SECRET,
  PRODUCT_JWT_SECRET: SECRET,
}

const processes = [
  { name: 'worker', ready: /worker ready/, path: undefined },
  { name: 'control-api', ready: /listening at (http[^"]+)/, path: '/v1/tenants' },
  { name: 'product-api', ready: /listening at (http[^"]+)/, path: '/customers' },
]

// Whoever reads the log may die first. What is still to be written then must not keep a process from ending.
for (const { name, ready, path } of processes) {
  t.test(`${name} ends when asked, though nobody reads its log any more`, async (t) => {
    const entry = new URL(`../../apps/${name}/src/main.ts`, import.meta.url)
    const child = spawn(process.execPath, ['--conditions=@freehold/source', entry.pathname], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    const exited = once(child, 'exit')
    let match: RegExpExecArray | null = null
    for await (const line of createInterface({ input: child.stdout })) {
      match = ready.exec(line)
      if (match) break
    }
    child.stdout.destroy()
    await once(child.stdout, 'close')

    if (path !== undefined) {
      const token = productToken({ tenant: '0197a3b0-7a5c-7c3e-9d52-0d7a3c1f2b4e' }, SECRET)
      const response = await fetch(`${match?.[1]}${path}`, { headers: { authorization: `Bearer ${token}` } })
      t.ok(response.status >= 400, 'there was something to log')
    }
    child.kill('SIGTERM')
    t.ok(await within(PATIENCE_MS, () => child.exitCode !== null || child.signalCode !== null))
    if (child.exitCode === null) return
    t.same(await exited, [0, null], 'in order')
  })
}
