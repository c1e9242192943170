// Writes docs/errors.md from the registry of error codes: `npm run docs`.
import { writeFile } from 'node:fs/promises'
import { renderErrorsDocument } from './lib/errors-document.ts'

await writeFile(new URL('../docs/errors.md', import.meta.url), renderErrorsDocument())
