import { spawnSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { z } from 'zod'

// Imports go one way: apps -> engine -> catalog -> postgres, tenancy -> postgres, everything -> contract. The linter
// enforces it; here it is shown violations, in a folder of its own, and must find each of them and nothing else.

const root = fileURLToPath(new URL('../..', import.meta.url))
const packages = ['contract', 'postgres', 'catalog', 'tenancy', 'data-database', 'doctor', 'engine'] as const
const apps = ['console', 'cli', 'control-api', 'worker', 'product-api'] as const

/** What each folder may import of the workspace. */
const allowed: Record<string, readonly string[]> = {
  'packages/contract': [],
  'packages/postgres': ['contract'],
  'packages/catalog': ['contract', 'postgres'],
  'packages/tenancy': ['contract', 'postgres'],
  'packages/data-database': ['contract', 'postgres'],
  'packages/doctor': ['contract', 'data-database', 'postgres'],
  'packages/engine': ['contract', 'postgres', 'catalog'],
  'apps/console': ['contract'],
  'apps/cli': ['contract', 'data-database', 'doctor', 'postgres'],
  'apps/control-api': ['contract', 'postgres', 'catalog', 'engine'],
  'apps/worker': ['contract', 'postgres', 'catalog', 'engine'],
  'apps/product-api': ['contract', 'postgres', 'catalog', 'tenancy', 'tenancy/fastify'],
}
const importable = [...packages, ...apps, 'local', 'tenancy/fastify']

/** File and the import that is planted in it. */
const plants = Object.keys(allowed).flatMap((folder) => [
  ...importable.map((name) => plant(folder, `@freehold/${name}`, !allowed[folder]?.includes(name))),
  plant(folder, '../../postgres/src/clients.ts', true),
  plant(folder, '../test/support.ts', true),
  plant(folder, './neighbour.ts', false),
  plant(folder, 'zod', false),
])

function plant(folder: string, module: string, isViolation: boolean) {
  const file = `${folder}/src/planted-${module.replaceAll(/[^a-z]+/g, '-')}.ts`
  return { file, module, isViolation }
}

const reportSchema = z.object({
  diagnostics: z.array(z.object({ category: z.string(), location: z.object({ path: z.string() }) })),
})

t.test('the linter finds every import that goes the wrong way', async (t) => {
  const copy = await mkdtemp(join(tmpdir(), 'freehold-boundaries-'))
  t.teardown(() => rm(copy, { recursive: true }))
  for (const file of ['biome.json', '.gitignore']) await cp(join(root, file), join(copy, file))
  for (const { file, module } of plants) {
    await mkdir(dirname(join(copy, file)), { recursive: true })
    await writeFile(join(copy, file), `import { thing } from '${module}'\n\nexport const planted = thing\n`)
  }

  const biome = join(root, 'node_modules', '.bin', 'biome')
  const options = ['lint', '--reporter=json', '--max-diagnostics=none', '--only=style/noRestrictedImports']
  const { stdout, status } = spawnSync(biome, options, { cwd: copy, encoding: 'utf8' })
  t.equal(status, 1)
  const { diagnostics } = reportSchema.parse(JSON.parse(stdout))
  const found = diagnostics
    .filter(({ category }) => category === 'lint/style/noRestrictedImports')
    .map(({ location }) => location.path)
  const violations = plants.filter(({ isViolation }) => isViolation).map(({ file }) => file)
  t.ok(violations.length > 80)
  t.same(found.toSorted(), violations.toSorted())
})
