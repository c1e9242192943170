// `npm run bench -- router|cache|move|database|pause|marks [options]`: Freehold beside its baseline and its peers; see bench/README.md.
import { BadArguments } from './bad-arguments.ts'

const USAGE = `Usage: npm run bench -- router [--json] [--quick] [--case point-read,page,insert,transaction]
                                [--connections 1,16,64] [--delay 0,1] [--seconds 3]
                                [--system plain,freehold,freehold+predicates,set-config,drizzle,prisma,usebetterdev]
       npm run bench -- cache [--json] [--quick]
       npm run bench -- move [--json] [--quick] [--rows 200000] [--rounds 5]
       npm run bench -- database [--json] [--quick] [--rows 200000] [--rounds 5]
       npm run bench -- pause [--json] [--quick] [--moves 50] [--rows 5000]
       npm run bench -- marks [--json] [--quick] [--writes 1000] [--rounds 30]`

const [name, ...args] = process.argv.slice(2)
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => interrupted.abort(new Error('interrupted')))
}

try {
  await run()
} catch (error) {
  const misused = error instanceof BadArguments
  process.stderr.write(misused ? `${error.message}\n${USAGE}\n` : `${explain(error)}\n`)
  process.exitCode = misused ? 2 : 1
}

async function run(): Promise<void> {
  // Each is loaded by itself: the cache is measured in a heap without the other systems.
  if (name === 'router') {
    const { runRouterBench } = await import('./router/run.ts')
    await runRouterBench(args, interrupted.signal)
  } else if (name === 'cache') {
    const { runCacheBench } = await import('./cache/run.ts')
    await runCacheBench(args)
  } else if (name === 'move') {
    const { runMoveBench } = await import('./move/run.ts')
    await runMoveBench(args, interrupted.signal)
  } else if (name === 'database') {
    const { runDatabaseBench } = await import('./database/run.ts')
    await runDatabaseBench(args, interrupted.signal)
  } else if (name === 'pause') {
    const { runPauseBench } = await import('./pause/run.ts')
    await runPauseBench(args, interrupted.signal)
  } else if (name === 'marks') {
    const { runMarksBench } = await import('./marks/run.ts')
    await runMarksBench(args, interrupted.signal)
  } else {
    throw new BadArguments(name === undefined ? 'What is to be measured?' : `There is no benchmark ${name}.`)
  }
}

function explain(error: unknown): string {
  if (interrupted.signal.aborted) return 'Interrupted.'
  return error instanceof Error && error.cause instanceof Error
    ? `${error.message}: ${error.cause.stack}`
    : String(error)
}
