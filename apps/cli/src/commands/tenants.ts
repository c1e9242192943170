import {
  type Tenant,
  type TenantDetail,
  tenantDetailSchema,
  tenantPageSchema,
  tenantSchema,
} from '@freehold/contract'
import type { Command } from 'commander'
import { printResult, type RunCommand } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { formatFields, formatInstant, formatPlacement, formatTable } from '../format.ts'
import { addPageOptions, type PageOptions, withMore } from '../pages.ts'
import { addRelocationCommands } from './relocate.ts'

interface CreateOptions {
  readonly region: string
  readonly name?: string
  readonly tier?: string
  readonly residency?: string
}

export function addTenantCommands(program: Command, run: RunCommand): void {
  const tenants = program.command('tenants').description('customer organisations and where they live')

  tenants
    .command('create')
    .description('create a tenant in the pool of a region')
    .argument('<slug>', 'lower-case letters, digits and hyphens')
    .requiredOption('--region <region>', 'where its pool is')
    .option('--name <name>', 'for people; the slug when left out')
    .option('--tier <tier>', 'its plan; free when left out')
    .option('--residency <jurisdiction>', 'pin it to a jurisdiction')
    .action((slug: string, { name = slug, ...rest }: CreateOptions, command: Command) =>
      run(command, async (context) => {
        const { region, tier, residency } = rest
        const tenant = await context.api.post('/v1/tenants', tenantSchema, {
          slug,
          name,
          region,
          tier,
          residency,
        })
        printResult(context, tenant, (created) => `Created.\n${describeTenant(created)}`)
        return EXIT.ok
      }),
    )

  addPageOptions(tenants.command('list'))
    .description('tenants by slug')
    .option('--search <text>', 'part of the slug or of the name')
    .action(({ search, limit, cursor }: PageOptions & { search?: string }, command: Command) =>
      run(command, async (context) => {
        const page = await context.api.get('/v1/tenants', tenantPageSchema, { search, limit, cursor })
        printResult(context, page, ({ items, nextCursor }) => withMore(tenantTable(items), nextCursor))
        return EXIT.ok
      }),
    )

  tenants
    .command('get')
    .description('a tenant with every placement it has or had')
    .argument('<tenant>', 'id or slug')
    .action((tenant: string, _options: object, command: Command) =>
      run(command, async (context) => {
        const path = `/v1/tenants/${encodeURIComponent(tenant)}`
        printResult(context, await context.api.get(path, tenantDetailSchema), describeDetail)
        return EXIT.ok
      }),
    )

  addRelocationCommands(tenants, run)
}

function tenantTable(tenants: readonly Tenant[]): string {
  return formatTable(
    ['SLUG', 'NAME', 'TIER', 'STATUS', 'RESIDENCY', 'PLACEMENT', 'MOVE'],
    tenants.map((tenant) => [
      tenant.slug,
      tenant.name,
      tenant.tier,
      tenant.status,
      tenant.residency ?? '-',
      formatPlacement(tenant.placement),
      tenant.activeMoveId ?? '-',
    ]),
  )
}

function describeTenant(tenant: Tenant): string {
  return formatFields([
    ['Tenant', tenant.slug],
    ['Id', tenant.id],
    ['Name', tenant.name],
    ['Tier', tenant.tier],
    ['Status', tenant.status],
    ['Pinned to', tenant.residency ?? 'nothing'],
    ['Lives at', formatPlacement(tenant.placement)],
    ['Epoch', String(tenant.placement.epoch)],
    ['Being moved', tenant.activeMoveId],
    ['Created', formatInstant(tenant.createdAt)],
  ])
}

function describeDetail(tenant: TenantDetail): string {
  const history = formatTable(
    ['EPOCH', 'PLACEMENT', 'SINCE', 'UNTIL'],
    tenant.placements.map((placement) => [
      String(placement.epoch),
      formatPlacement(placement),
      formatInstant(placement.since),
      placement.until === null ? 'now' : formatInstant(placement.until),
    ]),
  )
  return `${describeTenant(tenant)}\n\n${history}`
}
