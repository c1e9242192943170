import { type Affinity, NO_PLANS, type PooledConnection } from './pooled-connection.ts'

/** The idle connections of a pool, the most recently used last, so that those that are not needed grow old. */
export class IdleConnections {
  readonly #connections: PooledConnection[] = []

  get size(): number {
    return this.#connections.length
  }

  /** The one that has been idle for longest. */
  get oldest(): PooledConnection | undefined {
    return this.#connections[0]
  }

  /** The one that has been idle for shortest. */
  get youngest(): PooledConnection | undefined {
    return this.#connections.at(-1)
  }

  add(connection: PooledConnection): void {
    this.#connections.push(connection)
  }

  /**
   * Takes out a connection: the last one used with this affinity, whose plans are good; else one without plans;
   * else the last one used.
   */
  take(affinity: Affinity): PooledConnection | undefined {
    const connections = this.#connections
    const last = connections.length - 1
    if (last <= 0 || connections[last]?.affinity === affinity) return connections.pop()
    return this.#takeWith(affinity) ?? this.#takeWith(NO_PLANS) ?? connections.pop()
  }

  /** @returns false when it was not here. */
  remove(connection: PooledConnection): boolean {
    const index = this.#connections.indexOf(connection)
    if (index >= 0) this.#connections.splice(index, 1)
    return index >= 0
  }

  #takeWith(affinity: Affinity): PooledConnection | undefined {
    const index = this.#connections.findLastIndex((connection) => connection.affinity === affinity)
    return index < 0 ? undefined : this.#connections.splice(index, 1)[0]
  }
}
