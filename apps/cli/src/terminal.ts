import { createInterface } from 'node:readline/promises'
import type { ReadStream, WriteStream } from 'node:tty'
import { styleText } from 'node:util'

/** What a command writes to, and what it may ask. */
export interface Terminal {
  /** Results. With --json, one JSON document (or one a line) and nothing else. */
  print(text: string): void
  /** Remarks and errors. */
  remark(text: string): void
  /** Whether results are read by a person as they appear. */
  readonly isLive: boolean
  readonly columns: number
  /** Writes without a line break; only where `isLive`. */
  draw(text: string): void
  style(format: 'bold' | 'dim' | 'green' | 'red' | 'yellow', text: string): string
  /** Asks a question; without a person at the other end the answer is yes, since the command line said it. */
  confirm(question: string): Promise<boolean>
}

export function createTerminal(stdin: ReadStream, stdout: WriteStream, stderr: WriteStream): Terminal {
  return {
    print: (text) => void stdout.write(`${text}\n`),
    remark: (text) => void stderr.write(`${text}\n`),
    isLive: stdout.isTTY === true,
    get columns() {
      // 0: a terminal that does not know.
      return stdout.columns || 80
    },
    draw: (text) => void stdout.write(text),
    style: (format, text) => styleText(format, text, { stream: stdout }),
    async confirm(question) {
      if (!stdin.isTTY || !stdout.isTTY) return true
      const reader = createInterface({ input: stdin, output: stdout })
      try {
        return /^y(es)?$/i.test((await reader.question(`${question} [y/N] `)).trim())
      } finally {
        reader.close()
      }
    },
  }
}
