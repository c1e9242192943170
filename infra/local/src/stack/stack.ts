import { mkdtemp, rmdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { FreeholdError } from '@freehold/contract'
import type { DatabaseAddress } from '@freehold/postgres'
import { findFreePort, isFree } from '../free-port.ts'
import type { Cluster } from '../postgres-cluster.ts'
import type { Durability } from '../postgres-settings.ts'
import { type StackCluster, startClusters, stopClusters } from './clusters.ts'
import { prepareCatalogDatabase, preparePool, prepareQueueDatabase } from './databases.ts'
import { CONTROL_REGION, DATABASES, stackPaths } from './layout.ts'
import { takeLock } from './lock.ts'
import { makeDirectory } from './make-directory.ts'
import {
  type Services,
  type ServicesOptions,
  startServices,
  stopServices,
  type WorkerOptions,
} from './processes.ts'
import { isReachablePort } from './reachable-port.ts'
import { ensureStackSecrets } from './secrets.ts'
import type { OnCrash } from './service.ts'
import { readPorts, type StackPorts, writePorts } from './state.ts'
import { signToken } from './token.ts'
import { registerTopology } from './topology.ts'

export interface StackOptions {
  /** Everything that outlives the processes: data, secrets, ports. Created when missing, resumed otherwise. */
  readonly directory: string
  /** `full` unless told otherwise. */
  readonly durability?: Durability
  /** Ports that the APIs must have in this run; without, those of the run before if they are free, else any. */
  readonly ports?: { readonly controlApi?: number | undefined; readonly productApi?: number | undefined }
  /** Puts the queue on this Redis instead of on PostgreSQL. */
  readonly redisUrl?: string | undefined
  /** Changes the worker, for tests. */
  readonly worker?: WorkerOptions
  /** Receives every line that the processes write. */
  readonly log?: (line: string) => void
  /** Called when a process ends that nobody has stopped. */
  readonly onCrash?: OnCrash
  /** Gives the start up at its next step; what was started is stopped again. */
  readonly signal?: AbortSignal
}

/** A running Freehold: a cluster in each of two regions, control API, worker and example product. */
export interface Stack extends Services {
  readonly directory: string
  readonly urls: { readonly controlApi: string; readonly productApi: string }
  /** The cluster of a region, `us-1` or `eu-1`. */
  cluster(name: string): Cluster
  /** The address of a database as its cluster's superuser, who sees past row security. */
  superuserAddress(cluster: string, database: string): DatabaseAddress
  /** A token with which an operator may do everything, good for 12 hours. */
  operatorToken(): string
  /** A token of a user of the example product, good for 12 hours. */
  productToken(tenantId: string): string
  /** Stops everything, in order. The directory keeps what a next start resumes. */
  stop(): Promise<void>
}

const TOKEN_LIFETIME_S = 12 * 60 * 60

/**
 * Starts the whole of Freehold on this machine, on 127.0.0.1 only, and resolves when it answers. Everything it
 * consists of ends with this process, whatever ends that.
 *
 * @throws FreeholdError `config_invalid` when there can be no such directory, or nothing can be written in it,
 * `stack_already_running` when another process runs the stack of the directory,
 * `stack_start_failed` with the reason when a part of it does not start. Nothing stays behind running.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const directory = resolve(options.directory)
  const paths = stackPaths(directory)
  await prepareDirectory(directory)
  const undo = new AsyncDisposableStack()
  undo.defer(await takeLock(paths.lock))
  try {
    const known = await readPorts(paths.state)
    const secrets = await ensureStackSecrets(paths.secrets)
    options.signal?.throwIfAborted()
    const clusters = await startClusters(directory, options.durability ?? 'full', known.clusters ?? {})
    undo.defer(() => stopClusters(clusters))
    options.signal?.throwIfAborted()

    const control = clusterOf(clusters, CONTROL_REGION.cluster)
    await prepareDatabases(clusters, control)
    options.signal?.throwIfAborted()

    const ports = {
      controlApi: await choosePort('control API', options.ports?.controlApi, known.controlApi),
      productApi: await choosePort('product API', options.ports?.productApi, known.productApi),
    }
    const { log = ignore, onCrash = ignore, redisUrl, worker = {} } = options
    const services = await startServices({ control, secrets, ports, redisUrl, worker, log, onCrash })
    undo.defer(() => stopServices(services))
    await writePorts(paths.state, {
      clusters: Object.fromEntries(clusters.map(({ cluster }) => [cluster.name, cluster.port])),
      ...portsToRemember(ports, options.ports, known),
    })
    options.signal?.throwIfAborted()

    return {
      directory,
      ...services,
      urls: { controlApi: urlOf(ports.controlApi), productApi: urlOf(ports.productApi) },
      cluster: (name) => clusterOf(clusters, name).cluster,
      superuserAddress: (name, database) => clusterOf(clusters, name).cluster.address(database),
      operatorToken: () =>
        signToken(secrets.operatorJwt, { sub: 'operator', role: 'operator' }, TOKEN_LIFETIME_S),
      productToken: (tenantId) =>
        signToken(secrets.productJwt, { sub: 'demo', tenant: tenantId }, TOKEN_LIFETIME_S),
      stop: () => undo.disposeAsync(),
    }
  } catch (error) {
    await undo.disposeAsync()
    throw error
  }
}

/** @throws FreeholdError `config_invalid` */
async function prepareDirectory(directory: string): Promise<void> {
  try {
    await makeDirectory(directory)
    await rmdir(await mkdtemp(join(directory, 'probe-')))
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? ` (${cause.code})` : ''
    const message = `FREEHOLD_DIRECTORY: cannot keep anything in ${directory}${code}.`
    throw new FreeholdError('config_invalid', message, { cause })
  }
}

/** A port that somebody has asked for is for one run: what is remembered is what the stack has chosen itself. */
function portsToRemember(
  ports: ServicesOptions['ports'],
  asked: StackOptions['ports'],
  known: StackPorts,
): Pick<StackPorts, 'controlApi' | 'productApi'> {
  return {
    controlApi: asked?.controlApi === undefined ? ports.controlApi : known.controlApi,
    productApi: asked?.productApi === undefined ? ports.productApi : known.productApi,
  }
}

async function prepareDatabases(clusters: readonly StackCluster[], control: StackCluster): Promise<void> {
  await Promise.all([
    ...clusters.map(preparePool),
    prepareCatalogDatabase(control).then(() => prepareQueueDatabase(control)),
  ])
  await registerTopology(control.as('freehold_control', DATABASES.catalog), clusters)
}

function clusterOf(clusters: readonly StackCluster[], name: string): StackCluster {
  const found = clusters.find(({ cluster }) => cluster.name === name)
  if (found === undefined) throw new TypeError(`The stack has no cluster ${name}.`)
  return found
}

/** @throws FreeholdError `stack_start_failed` when the port that was asked for is in use. */
async function choosePort(
  whose: string,
  asked: number | undefined,
  known: number | undefined,
): Promise<number> {
  if (asked !== undefined) {
    if (await isFree(asked)) return asked
    throw new FreeholdError('stack_start_failed', `Port ${asked}, asked for the ${whose}, is in use.`, {
      details: { port: asked },
    })
  }
  return known !== undefined && isReachablePort(known) && (await isFree(known)) ? known : await findFreePort()
}

function urlOf(port: number): string {
  return `http://127.0.0.1:${port}`
}

function ignore(): void {}
