import t from 'tap'
import type { TablePair, TableShape } from '../src/database/tables.ts'
import { CopyMeter } from '../src/move/copy-meter.ts'
import { ProgressReport } from '../src/move/progress-report.ts'
import { initialProgress } from '../src/move/state.ts'

function pairOf(key: string): TablePair {
  const shape: TableShape = {
    key,
    table: { schema: 'public', name: key },
    tenantColumn: 'tenant_id',
    columns: [],
    generated: [],
    primaryKey: [],
  }
  return { source: shape, target: shape }
}
const [orders, lines] = [pairOf('orders'), pairOf('lines')]

t.test(
  'there are never fewer rows in all than have come, and as many as there were in the end',
  async (t) => {
    const report = new ProgressReport(
      initialProgress([
        { table: 'orders', rowsEstimated: 100 },
        { table: 'lines', rowsEstimated: 300 },
      ]),
      async () => {},
    )
    t.teardown(() => report.settle())
    const shown = () => {
      const { tables, rowsCopied, rowsEstimated, etaSeconds } = report.current
      t.ok(etaSeconds === null || etaSeconds >= 0)
      return [
        `${rowsCopied} of ${rowsEstimated}`,
        ...tables.map((each) => `${each.rowsCopied} of ${each.rowsEstimated}`),
      ]
    }
    const meter = new CopyMeter(report)
    t.same(shown(), ['0 of 400', '0 of 100', '0 of 300'])
    meter.passed(orders, { rows: 60, bytes: 600 })
    t.same(shown(), ['60 of 400', '60 of 100', '0 of 300'])
    meter.passed(orders, { rows: 60, bytes: 600 })
    t.same(
      shown(),
      ['120 of 420', '120 of 120', '0 of 300'],
      'rows that were written since they were counted',
    )
    meter.finished(orders, 130, 1_300)
    t.same(shown(), ['130 of 430', '130 of 130', '0 of 300'])
    meter.finished(lines, 290, 2_900)
    t.same(shown(), ['420 of 420', '130 of 130', '290 of 290'], 'and that were deleted')
    new CopyMeter(report)
    t.same(shown(), ['0 of 420', '0 of 130', '0 of 290'], 'a copy that begins anew knows better')
  },
)
