/** The result goes to standard output. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Progress goes where it does not mix with the result. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}
