// Writes packages/doctor/src/facts/freehold-manifest.ts from what the migrations make: `npm run manifest`.
import { writeFile } from 'node:fs/promises'
import { renderFreeholdManifest } from './lib/freehold-manifest.ts'

await writeFile(
  new URL('../packages/doctor/src/facts/freehold-manifest.ts', import.meta.url),
  await renderFreeholdManifest(),
)
