import type { Command } from 'commander'
import { type ApiClient, createApiClient } from './api-client.ts'
import type { ExitCode } from './exit-codes.ts'
import { type ConnectionOptions, readConnection } from './settings.ts'
import type { Terminal } from './terminal.ts'

/** What every command works with. */
export interface CommandContext {
  readonly api: ApiClient
  readonly terminal: Terminal
  /** Whether results are printed as JSON. */
  readonly json: boolean
}

/** Runs a command's work with what the options and the environment say. */
export type RunCommand = (
  command: Command,
  work: (context: CommandContext) => Promise<ExitCode>,
) => Promise<void>

/** @param end is told how the process should end. */
export function createRunner(
  terminal: Terminal,
  environment: Readonly<Record<string, string | undefined>>,
  end: (code: ExitCode) => void,
): RunCommand {
  return async (command, work) => {
    const options = command.optsWithGlobals<ConnectionOptions & { json?: boolean }>()
    const api = createApiClient(await readConnection(options, environment))
    end(await work({ api, terminal, json: options.json === true }))
  }
}

/**
 * Commands of a group, each about the one thing that its first argument names.
 *
 * @param parse what is typed as the argument; it throws when that cannot be one.
 */
export function commandsAbout<Id>(
  group: Command,
  run: RunCommand,
  argument: string,
  parse: (text: string) => Id,
) {
  return <Options = object>(
    name: string,
    description: string,
    work: (context: CommandContext, id: Id, options: Options) => Promise<ExitCode>,
  ): Command =>
    group
      .command(name)
      .description(description)
      .argument(argument, 'id', parse)
      .action((id: Id, options: Options, command: Command) =>
        run(command, (context) => work(context, id, options)),
      )
}

/** Prints a result: as JSON, or as `text` says it. */
export function printResult<T>(
  { terminal, json }: CommandContext,
  result: T,
  text: (result: T) => string,
): void {
  terminal.print(json ? JSON.stringify(result) : text(result))
}
