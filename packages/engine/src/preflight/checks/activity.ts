import { describeUnenteredWriter, type UnenteredWriter } from '../../database/unentered-writers.ts'
import type { ActivityFacts } from '../facts/activity.ts'
import type { Finding } from '../finding.ts'

/** What has been under way for longer holds the beginning of a change stream up noticeably. */
const LONG_SECONDS = 5

/** Whether a replication slot can be created soon: its creation waits for every transaction that writes. */
export function checkActivity({ transactions, prepared }: ActivityFacts): Finding[] {
  return [
    ...transactions
      .filter(({ seconds }) => seconds > LONG_SECONDS)
      .map(
        ({ pid, database, role, application, seconds }): Finding => ({
          code: 'transaction_open',
          object: `process ${pid}`,
          found: `${role ?? 'A process'} (${application || 'unnamed'}) has been writing in ${database} for ${Math.floor(seconds)} s.`,
        }),
      ),
    ...prepared
      .filter(({ seconds }) => seconds > LONG_SECONDS)
      .map(
        ({ name, database, seconds }): Finding => ({
          code: 'prepared_transaction',
          object: name,
          found: `${name} has been prepared in ${database} for ${Math.floor(seconds)} s.`,
        }),
      ),
  ]
}

/** Whether the switch would have to wait now for somebody who is not kept out by its fence. */
export function checkUnentered(writer: UnenteredWriter | undefined): Finding[] {
  if (writer === undefined) return []
  return [{ code: 'writer_not_entered', object: writer.table, found: describeUnenteredWriter(writer) }]
}
