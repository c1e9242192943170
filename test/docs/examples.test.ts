// Every example in the TSDoc of a package, and every block of TypeScript in a README, is compiled: what somebody copies
// must fit the code as it is.
import { execFile } from 'node:child_process'
import { copyFile, glob, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const repository = new URL('../..', import.meta.url).pathname

/** Where the names that an example uses come from, unless it says so itself. Later ones win. */
const MODULES = [
  'kysely',
  'pino',
  'fastify',
  '@opentelemetry/sdk-trace-base',
  'node:stream/promises',
  'node:fs',
  '@freehold/contract',
  '@freehold/postgres',
  '@freehold/catalog',
  '@freehold/doctor',
  '@freehold/tenancy',
  '@freehold/tenancy/cache',
  '@freehold/tenancy/fastify',
  '@freehold/tenancy/jobs',
  '@freehold/tenancy/metrics',
  '@freehold/tenancy/telemetry',
  '@freehold/tenancy/testing',
]
const OTHERS = [
  "import fastifyJwt from '@fastify/jwt'",
  "import { Redis } from 'ioredis'",
  "import { z } from 'zod'",
  "import type { Entry } from '@freehold/postgres'",
]

interface Example {
  readonly where: string
  readonly code: string
}

async function readExamples(): Promise<Example[]> {
  const examples: Example[] = []
  const add = (where: string, text: string) => {
    for (const [, code = ''] of text.matchAll(/^```ts\n([\s\S]*?)^```/gm)) examples.push({ where, code })
  }
  for await (const file of glob('packages/*/src/**/*.ts', { cwd: repository })) {
    const source = await readFile(join(repository, file), 'utf8')
    for (const [, body = ''] of source.matchAll(/@example\n([\s\S]*?)\n\s*\*\//g)) {
      add(file, body.replaceAll(/^\s*\* ?/gm, '').concat('\n'))
    }
  }
  for await (const file of glob(['README.md', 'packages/*/README.md'], { cwd: repository })) {
    add(file, await readFile(join(repository, file), 'utf8'))
  }
  return examples
}

async function exportsOf(): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const module of MODULES) {
    for (const name of Object.keys(await import(module))) if (name !== 'default') found.set(name, module)
  }
  return found
}

/** The example as a module, with imports for the names that it uses and does not declare. */
function toModule({ code }: Example, exported: ReadonlyMap<string, string>): string {
  const own = new Set([...code.matchAll(/\b(?:const|let|function|class)\s+(\w+)/g)].map(([, name]) => name))
  for (const [, list = ''] of code.matchAll(/^import (?:type )?\{([^}]*)\}/gm)) {
    for (const name of list.split(',')) own.add(name.trim())
  }
  const imports = [...exported]
    .filter(
      ([name]) => !own.has(name) && new RegExp(`(?<!(?<!\\.\\.)\\.|[\\w'])${name}\\b(?!:|')`).test(code),
    )
    .map(([name, module]) => `import { ${name} } from '${module}'`)
  const others = OTHERS.filter((line) => {
    const [, name = ''] = line.match(/import (?:type )?(?:\{ )?(\w+)/) ?? []
    return new RegExp(`\\b${name}\\b`).test(code) && !code.includes(line.split(' from ')[1] ?? line)
  })
  return [...imports, ...others, code, 'export {}', ''].join('\n')
}

t.test('every example compiles', async (t) => {
  const folder = await mkdtemp(join(repository, 'test/docs/.examples-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const examples = await readExamples()
  const exported = await exportsOf()
  t.ok(examples.length > 20)
  for (const [index, example] of examples.entries()) {
    await writeFile(join(folder, `example-${index}.ts`), toModule(example, exported))
  }
  const declarations: string[] = []
  for await (const file of glob(join(repository, 'packages/*/src/**/*.d.ts'))) declarations.push(file)
  await copyFile(join(repository, 'test/docs/examples-prelude.d.ts'), join(folder, 'prelude.d.ts'))
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(repository, 'tsconfig.base.json'),
      compilerOptions: {
        noEmit: true,
        composite: false,
        incremental: false,
        skipLibCheck: true,
        noUnusedLocals: false,
        noUnusedParameters: false,
      },
      // Named one by one: a pattern leaves out what is in a hidden folder.
      files: ['prelude.d.ts', ...examples.map((_, index) => `example-${index}.ts`), ...declarations],
    }),
  )
  const tsc = join(repository, 'node_modules/.bin/tsc')
  const { stdout } = await run(tsc, ['-p', folder, '--pretty', 'false']).catch((error) => error)
  const wrong = String(stdout).replaceAll(
    /\S*example-(\d+)\.ts/g,
    (_, index) => examples[Number(index)]?.where ?? '',
  )
  t.equal(wrong.trim(), '')
})
