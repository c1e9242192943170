import { randomBytes } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { z } from 'zod'

const port = z.int().min(1).max(65_535)

const stateSchema = z.object({
  version: z.literal(1),
  ports: z.object({ clusters: z.record(z.string(), port), controlApi: port, productApi: port }).partial(),
})

/** The ports of a stack: those of the run before, so that addresses which somebody has noted keep working. */
export type StackPorts = z.infer<typeof stateSchema>['ports']

/** What an earlier run has left in the file; nothing when there is none or it cannot be read. */
export async function readPorts(path: string): Promise<StackPorts> {
  try {
    return stateSchema.parse(JSON.parse(await readFile(path, 'utf8'))).ports
  } catch {
    return {}
  }
}

/** Writes the file; whoever reads it sees all of it or the one before. */
export async function writePorts(path: string, ports: StackPorts): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  await writeFile(draft, `${JSON.stringify({ version: 1, ports }, undefined, 2)}\n`, { mode: 0o600 })
  await rename(draft, path)
}
