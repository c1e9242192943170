import {
  type ChangeStreamChoice,
  changeStreamChoiceSchema,
  isBlocked,
  movePlanSchema,
  moveSchema,
} from '@freehold/contract'
import { type Command, Option } from 'commander'
import { printResult, type RunCommand } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { describePlan } from '../plan-view.ts'
import { watchMove } from '../watch-move.ts'

interface PromoteOptions {
  readonly region?: string
  readonly cluster?: string
  readonly changeStream: ChangeStreamChoice
  readonly dryRun?: boolean
  readonly watch?: boolean
  readonly yes?: boolean
}

export function addPromoteCommand(tenants: Command, run: RunCommand): void {
  tenants
    .command('promote')
    .description('move a tenant to a database of its own, while it keeps working')
    .argument('<tenant>', 'id or slug')
    .addOption(
      new Option('--region <region>', 'where it is to live; Freehold picks the cluster').conflicts('cluster'),
    )
    .option('--cluster <cluster>', 'the cluster on which it is to live')
    .addOption(
      new Option('--change-stream <kind>', "how its writes are followed: by the source's log, or by triggers")
        .choices(changeStreamChoiceSchema.options)
        .default('auto'),
    )
    .option('--dry-run', 'run every check, say what would be done, change nothing')
    .option('--watch', 'follow the move to its end')
    .option('--yes', 'do not ask')
    .action((tenant: string, options: PromoteOptions, command: Command) => {
      const { region, cluster, changeStream } = options
      if (region === undefined && cluster === undefined) {
        return command.error("error: option '--region <region>' or '--cluster <cluster>' is needed")
      }
      return run(command, async (context) => {
        const target = { isolation: 'silo', region, cluster }
        if (options.dryRun === true || (!context.json && options.yes !== true)) {
          const plan = await context.api.get('/v1/moves/plan', movePlanSchema, {
            tenant,
            changeStream,
            ...target,
          })
          printResult(context, plan, () => describePlan(plan, context.terminal))
          if (isBlocked(plan)) return EXIT.findings
          if (options.dryRun === true) return EXIT.ok
          if (!(await context.terminal.confirm(`Move ${plan.tenant.slug} now?`))) return EXIT.ok
        }
        const move = await context.api.post('/v1/moves', moveSchema, { tenant, target, changeStream })
        if (options.watch === true) return watchMove(context, move.id)
        printResult(context, move, ({ id }) => `Started move ${id}. Follow it: freehold moves watch ${id}`)
        return EXIT.ok
      })
    })
}
