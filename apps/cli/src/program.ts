import { Command, CommanderError } from 'commander'
import { addAdoptCommand } from './commands/adopt.ts'
import { addClusterCommands } from './commands/clusters.ts'
import { addDoctorCommand } from './commands/doctor.ts'
import { addMoveCommands } from './commands/moves.ts'
import { addReferenceCommands } from './commands/references.ts'
import { addTenantCommands } from './commands/tenants.ts'
import { addTopologyCommand } from './commands/topology.ts'
import { createRunner } from './context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { describeProblem, problemOf } from './problem-error.ts'
import type { Terminal } from './terminal.ts'

const EPILOGUE = `
The control API is found at --url or FREEHOLD_URL (http://127.0.0.1:3000 when neither is set); the token is taken from
--token, --token-file, FREEHOLD_TOKEN or FREEHOLD_TOKEN_FILE.

Exit status: 0 done; 1 refused or failed; 2 command line not understood; 3 the watched move was given up or
rolled back; 130 stopped by Ctrl-C; doctor: 1 findings, 2 not checked. With --json results are JSON on stdout and problems are JSON on stderr.`

/** Carries out one command line. @returns how the process should end. */
export async function runProgram(
  args: readonly string[],
  terminal: Terminal,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<ExitCode> {
  let code: ExitCode = EXIT.ok
  const program = buildProgram(terminal)
  const end = (ended: ExitCode) => {
    code = ended
  }
  const run = createRunner(terminal, environment, end)
  addTenantCommands(program, run)
  addMoveCommands(program, run)
  addClusterCommands(program, run)
  addReferenceCommands(program, run)
  addTopologyCommand(program, run)
  addDoctorCommand(program, terminal, environment, end)
  addAdoptCommand(program, terminal, environment, (ended) => {
    code = ended
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    const problem = problemOf(error)
    terminal.remark(args.includes('--json') ? JSON.stringify(problem) : describeProblem(problem))
    return EXIT.error
  }
}

function buildProgram(terminal: Terminal): Command {
  return new Command('freehold')
    .description('Creates tenants, moves them between placements and tells where each one lives.')
    .option('--url <url>', 'where the control API is')
    .option(
      '--token <token>',
      "an operator's token; others on this machine can see it in the list of processes",
    )
    .option('--token-file <file>', 'a file that holds the token')
    .option('--json', 'print results as JSON')
    .addHelpText('after', EPILOGUE)
    .configureOutput({
      writeOut: (text) => terminal.print(text.trimEnd()),
      writeErr: (text) => terminal.remark(text.trimEnd()),
    })
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(freehold --help shows what there is)')
    .exitOverride()
}
