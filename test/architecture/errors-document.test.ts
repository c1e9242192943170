import { readFile } from 'node:fs/promises'
import { errorRegistry } from '@freehold/contract'
import t from 'tap'
import { renderErrorsDocument } from '../../scripts/lib/errors-document.ts'

t.test('docs/errors.md says what the registry says', async (t) => {
  const document = await readFile(new URL('../../docs/errors.md', import.meta.url), 'utf8')
  t.equal(document, renderErrorsDocument(), '`npm run docs` writes it anew')
})

t.test('every code says what happened and what to do next, each in a sentence', async (t) => {
  for (const [code, { status, title, next }] of Object.entries(errorRegistry)) {
    t.match(code, /^[a-z]+(_[a-z]+)*$/)
    t.ok(status >= 400 && status < 600, code)
    t.match(title, /^[A-Z].*[^.]$/, `${code}: a title has no full stop`)
    t.match(next, /^[A-Z`].*\.$/, `${code}: what to do next is a sentence`)
  }
})
