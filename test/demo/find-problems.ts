import type { MoveDetail } from '@freehold/contract'
import type { LoadReport, ProofReport } from '../load/index.ts'

/** Everything that is not as it must be after the demo, in sentences; nothing when all is well. */
export function findProblems(move: MoveDetail, traffic: LoadReport, proof: ProofReport): string[] {
  return [...problemsOfMove(move), ...problemsOfTraffic(traffic), ...problemsOfProof(proof)]
}

function problemsOfMove({ phase, error, finishedAt, events }: MoveDetail): string[] {
  if (phase === 'completed') return []
  const last = `Its last entry is: ${events.at(-1)?.message ?? 'none'}`
  if (finishedAt === null) return [`The move is stuck in the phase ${phase}. ${last}`]
  if (error === null) return [`The move was given up. ${last}`]
  return [`The move was given up (${error.code}): ${error.detail} ${error.next}`]
}

function problemsOfTraffic(traffic: LoadReport): string[] {
  const problems: string[] = []
  if (traffic.failed > 0) {
    const samples = traffic.failures.map(({ kind, reason }) => `${kind}: ${reason}`)
    problems.push(`${traffic.failed} requests failed: ${[...new Set(samples)].join('; ')}`)
  }
  if (traffic.mismatches > 0) {
    const samples = [...new Set(traffic.mismatchSamples)].join('; ')
    problems.push(`${traffic.mismatches} answers were not what had been acknowledged: ${samples}`)
  }
  return problems
}

function problemsOfProof(proof: ProofReport): string[] {
  if (proof.ok) return []
  const { writesLost, writesDuplicated, rowsWrong, foreignRows } = proof
  const counts = `${writesLost} lost, ${writesDuplicated} duplicated, ${rowsWrong} wrong, ${foreignRows} foreign`
  const samples = proof.samples.map(
    ({ finding, database, table, key }) => `${finding}: ${database} ${table} ${key}`,
  )
  return [`The proof does not hold: ${counts}. For example ${samples.join('; ')}`]
}
