// Writes the pages that are made from registries: `npm run docs`.
import { writeFile } from 'node:fs/promises'
import { renderErrorsDocument } from './lib/errors-document.ts'
import { renderFindingsDocument } from './lib/findings-document.ts'

await writeFile(new URL('../docs/errors.md', import.meta.url), renderErrorsDocument())
await writeFile(new URL('../docs/findings.md', import.meta.url), renderFindingsDocument())
