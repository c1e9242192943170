import { createWriteStream, type WriteStream } from 'node:fs'

/** The log of a run, over that of the run before: begun with its first line, when the directory is surely ours. */
export class RunLog {
  readonly path: string
  #stream: WriteStream | undefined

  constructor(path: string) {
    this.path = path
  }

  /** Before that, what is at the path is of another run. */
  get isBegun(): boolean {
    return this.#stream !== undefined
  }

  write(line: string): void {
    this.#stream ??= createWriteStream(this.path, { mode: 0o600 }).on('error', ignore)
    this.#stream.write(`${line}\n`)
  }
}

/** A log that cannot be written (a full disk) must not end what it tells of. */
function ignore(): void {}
