import { clientConfig } from '@freehold/postgres'
import { PrismaPg } from '@prisma/adapter-pg'
import { PAGE_ROWS, type System, type SystemOptions } from '../system.ts'
import { Prisma, PrismaClient } from './generated/client.ts'

const select = { id: true, name: true, quantity: true } as const

/** Prisma as its example of row security writes it: an extension that puts every query into a batch after the setting. */
export function openPrisma({ address, connections }: SystemOptions): System {
  const adapter = new PrismaPg({ ...clientConfig(address, 'bench-prisma'), max: connections })
  const prisma = new PrismaClient({ adapter })
  const setTenant = (tenantId: string) =>
    prisma.$executeRaw`select set_config('app.tenant_id', ${tenantId}, true)`

  const extend = (tenantId: string) =>
    prisma.$extends(
      Prisma.defineExtension((client) =>
        client.$extends({
          query: {
            $allModels: {
              async $allOperations({ args, query }) {
                const [, result] = await prisma.$transaction([setTenant(tenantId), query(args)])
                return result
              },
            },
          },
        }),
      ),
    )
  const clients = new Map<string, ReturnType<typeof extend>>()
  const forTenant = (tenantId: string): ReturnType<typeof extend> => {
    const known = clients.get(tenantId)
    if (known) return known
    const client = extend(tenantId)
    clients.set(tenantId, client)
    return client
  }

  return {
    async pointRead(tenantId, id) {
      return (await forTenant(tenantId).item.findFirst({ select, where: { id } })) ?? undefined
    },
    page: (tenantId, afterId) =>
      forTenant(tenantId).item.findMany({
        select,
        where: { id: { gt: afterId } },
        orderBy: { id: 'asc' },
        take: PAGE_ROWS,
      }),
    async insert(tenantId, item) {
      const created = await forTenant(tenantId).item.create({
        select: { id: true },
        data: { tenantId, ...item },
      })
      return created.id === item.id ? 1 : 0
    },
    async readAndUpdate(tenantId, id) {
      const [, item, result] = await prisma.$transaction([
        setTenant(tenantId),
        prisma.item.findFirst({ select, where: { id } }),
        prisma.item.updateMany({ where: { id }, data: { quantity: { increment: 1 } } }),
      ])
      return result.count === 1 && item ? item : undefined
    },
    close: () => prisma.$disconnect(),
  }
}
