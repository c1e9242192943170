import { readFile } from 'node:fs/promises'
import { errorRegistry, type FindingDefinition, findingRegistry } from '@freehold/contract'
import t from 'tap'
import { renderErrorsDocument } from '../../scripts/lib/errors-document.ts'
import { renderFindingsDocument } from '../../scripts/lib/findings-document.ts'

t.test('the pages made from registries say what the registries say', async (t) => {
  for (const [name, rendered] of [
    ['errors.md', renderErrorsDocument()],
    ['findings.md', renderFindingsDocument()],
  ] as const) {
    const document = await readFile(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
    t.equal(document, rendered, `\`npm run docs\` writes ${name} anew`)
  }
})

t.test('every code says what happened and what to do next, each in a sentence', async (t) => {
  for (const [code, { status, title, next }] of Object.entries(errorRegistry)) {
    t.match(code, /^[a-z]+(_[a-z]+)*$/)
    t.ok(status >= 400 && status < 600, code)
    t.match(title, /^[A-Z].*[^.]$/, `${code}: a title has no full stop`)
    t.match(next, /^[A-Z`].*\.$/, `${code}: what to do next is a sentence`)
  }
  for (const [code, { title, remedy }] of Object.entries<FindingDefinition>(findingRegistry)) {
    t.match(code, /^[a-z]+(_[a-z]+)*$/)
    t.match(title, /^[A-Z].*[^.]$/, `${code}: a title has no full stop`)
    t.match(remedy, /^[A-Z`].*\.$/, `${code}: the remedy is a sentence`)
  }
})
