import { formatDatabaseUrl } from '@freehold/postgres'
import type { ProcessOptions } from '../child-process.ts'
import type { StackCluster } from './clusters.ts'
import { DATABASES, MIGRATIONS, repositoryPath } from './layout.ts'
import type { StackSecrets } from './secrets.ts'
import { type OnCrash, Service } from './service.ts'

/**
 * What a copy needs is little and gone at once; left to itself, Node lets what is gone pile up as far as the machine's memory allows
 * (docs/operations.md).
 */
const WORKER_MEMORY = '--max-semi-space-size=4 --max-old-space-size=192'

/** The processes of a stack besides its database servers. */
export interface Services {
  readonly controlApi: Service
  readonly worker: Service
  readonly productApi: Service
}

export interface ServicesOptions {
  /** Where control database and queue are. */
  readonly control: StackCluster
  readonly secrets: StackSecrets
  readonly ports: { readonly controlApi: number; readonly productApi: number }
  /** The queue is on this Redis instead of on PostgreSQL. */
  readonly redisUrl: string | undefined
  readonly worker: WorkerOptions
  readonly log: (line: string) => void
  readonly onCrash: OnCrash
}

/** What a test changes about the worker in order to stop it where it wants to. */
export interface WorkerOptions {
  /** Its module, instead of the worker's own. */
  readonly entry?: URL
  /** Variables besides its own, or instead of them. */
  readonly env?: Readonly<Record<string, string>>
}

/** Starts the processes, all at once. When one does not become ready, the others are stopped again. */
export async function startServices(options: ServicesOptions): Promise<Services> {
  const { controlApi, worker, productApi } = processOptions(options)
  const start = (process: Omit<ProcessOptions, 'log'>) =>
    Service.start({ ...process, log: options.log }, options.onCrash)
  const started = await Promise.allSettled([start(controlApi), start(worker), start(productApi)])
  const [first, second, third] = started
  if (first.status === 'fulfilled' && second.status === 'fulfilled' && third.status === 'fulfilled') {
    return { controlApi: first.value, worker: second.value, productApi: third.value }
  }
  await Promise.all(
    started.map((result) => (result.status === 'fulfilled' ? result.value.stop() : undefined)),
  )
  throw started.find((result) => result.status === 'rejected')?.reason
}

export async function stopServices({ controlApi, worker, productApi }: Services): Promise<void> {
  await Promise.all([controlApi.stop(), worker.stop(), productApi.stop()])
}

function processOptions({ control, secrets, ports, redisUrl, worker }: ServicesOptions) {
  const catalogFor = (role: 'freehold_control' | 'freehold_reader') =>
    formatDatabaseUrl(control.as(role, DATABASES.catalog))
  const queue: Record<string, string> =
    redisUrl === undefined
      ? { FREEHOLD_QUEUE_DATABASE_URL: formatDatabaseUrl(control.as('freehold_control', DATABASES.queue)) }
      : { REDIS_URL: redisUrl }
  return {
    controlApi: {
      name: 'control-api',
      entry: mainOf('control-api'),
      env: {
        HOST: '127.0.0.1',
        PORT: String(ports.controlApi),
        FREEHOLD_CATALOG_URL: catalogFor('freehold_control'),
        FREEHOLD_ENTRY_SECRET: secrets.entry,
        FREEHOLD_OPERATOR_SECRET: secrets.operatorJwt,
        ...queue,
      },
      ready: /Server listening at/,
    },
    worker: {
      name: 'worker',
      entry: worker.entry ?? mainOf('worker'),
      env: {
        NODE_OPTIONS: WORKER_MEMORY,
        FREEHOLD_CATALOG_URL: catalogFor('freehold_control'),
        FREEHOLD_ENTRY_SECRET: secrets.entry,
        FREEHOLD_DATA_MIGRATIONS: MIGRATIONS.data,
        FREEHOLD_PRODUCT_MIGRATIONS: MIGRATIONS.product,
        ...queue,
        ...worker.env,
      },
      ready: /"msg":"worker ready"/,
    },
    productApi: {
      name: 'product-api',
      entry: mainOf('product-api'),
      env: {
        HOST: '127.0.0.1',
        PORT: String(ports.productApi),
        FREEHOLD_CATALOG_URL: catalogFor('freehold_reader'),
        FREEHOLD_ENTRY_SECRET: secrets.entry,
        PRODUCT_JWT_SECRET: secrets.productJwt,
      },
      ready: /Server listening at/,
    },
  } as const
}

/** The source of a process where we run from source ourselves, else what was built of it. */
function mainOf(app: string): URL {
  const path = import.meta.filename.endsWith('.ts') ? 'src/main.ts' : 'dist/main.js'
  return new URL(`file://${repositoryPath(`apps/${app}/${path}`)}`)
}
