import type { KyselyPlugin } from 'kysely'

/** Keeps every row that is returned on the instances that it is plugged into, transactions and raw SQL among them. */
export class Recorder implements KyselyPlugin {
  readonly rows: unknown[] = []

  transformQuery({ node }: Parameters<KyselyPlugin['transformQuery']>[0]) {
    return node
  }

  async transformResult({ result }: Parameters<KyselyPlugin['transformResult']>[0]) {
    for (const row of result.rows) this.rows.push(row)
    return result
  }
}
