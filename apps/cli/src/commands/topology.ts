import { topologySchema } from '@freehold/contract'
import type { Command } from 'commander'
import { printResult, type RunCommand } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { formatBytes, formatCount, formatTable } from '../format.ts'

export function addTopologyCommand(program: Command, run: RunCommand): void {
  program
    .command('topology')
    .description('regions, clusters and tiers')
    .action((_options: object, command: Command) =>
      run(command, async (context) => {
        const topology = await context.api.get('/v1/topology', topologySchema)
        printResult(context, topology, ({ regions, clusters, tiers }) =>
          [
            formatTable(
              ['REGION', 'JURISDICTION', 'NAME'],
              regions.map(({ id, jurisdiction, name }) => [id, jurisdiction, name]),
            ),
            formatTable(
              ['CLUSTER', 'REGION', 'JURISDICTION', 'POOLS', 'SILOS', 'CAPACITY', 'MOVES', ''],
              clusters.map((cluster) => [
                cluster.id,
                cluster.region,
                cluster.jurisdiction,
                cluster.pools.join(', '),
                formatCount(cluster.silos),
                cluster.capacityBytes === null ? 'not limited' : formatBytes(cluster.capacityBytes),
                `${cluster.movesUnderWay} of ${cluster.maxMoves}`,
                cluster.drainingSince === null ? '' : 'draining',
              ]),
            ),
            formatTable(
              ['TIER', 'ISOLATION', 'NAME'],
              tiers.map(({ id, isolation, name }) => [id, isolation, name]),
            ),
          ].join('\n\n'),
        )
        return EXIT.ok
      }),
    )
}
