import { stripVTControlCharacters } from 'node:util'
import type { Terminal } from './terminal.ts'

/** The last lines of a terminal, drawn anew in place, with lines that stay above them. */
export interface LiveRegion {
  /** Writes a line that stays. */
  keep(line: string): void
  /** Replaces what is drawn. */
  show(lines: readonly string[]): void
}

const UP_AND_CLEAR = '\x1b[1A\x1b[2K'

export function createLiveRegion(terminal: Terminal): LiveRegion {
  let shown: readonly string[] = []
  const clear = () => UP_AND_CLEAR.repeat(shown.length)
  const draw = (lines: readonly string[]) => lines.map((line) => `${fit(line, terminal.columns)}\n`).join('')
  return {
    keep(line) {
      terminal.draw(`${clear()}${line}\n${draw(shown)}`)
    },
    show(lines) {
      terminal.draw(`${clear()}${draw(lines)}`)
      shown = lines
    },
  }
}

/** A line that wraps would be two, and the region would be cleared wrongly; styles are given up where it must be cut. */
function fit(line: string, columns: number): string {
  const plain = stripVTControlCharacters(line)
  return plain.length < columns ? line : `${plain.slice(0, columns - 2)}…`
}
