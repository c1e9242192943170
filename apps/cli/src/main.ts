#!/usr/bin/env node
import { runProgram } from './program.ts'
import { createTerminal } from './terminal.ts'

// A reader that went away (`freehold tenants list | head`) is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})
const terminal = createTerminal(process.stdin, process.stdout, process.stderr)
process.exitCode = await runProgram(process.argv.slice(2), terminal, process.env)
