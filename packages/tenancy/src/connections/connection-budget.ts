/** How long a connection stays with its database before another one that has waited longer gets its place. */
const TENURE_MS = 25

/** A pool, as the budget sees it. */
export interface BudgetMember {
  /** The connections it has, in whatever state. */
  readonly open: number
  /** How many more connections it could put to use now. */
  readonly need: number
  /** Since when the longest waiter that it could serve has waited, by `performance.now()`; undefined: there is none. */
  readonly waitingSince: number | undefined
  /** Since when its oldest idle connection has been idle; undefined: it has none. */
  readonly idleSince: number | undefined
  /** Opens a connection in the place that it is given. */
  grow(): void
  /** Closes its oldest idle connection in favour of another database. */
  evictOldest(): void
}

/**
 * The connections of a process over all its databases, and who may open the next one. Invariants:
 *
 * - **B1** At most `max` connections exist, those being opened and those being closed included: a place is free
 *   again when the socket is closed, and not before.
 * - **B2** A place that is free goes to the database where somebody has waited longest.
 * - **B3** While a database waits, none keeps an idle connection beyond what is needed: the one idle for longest
 *   goes first. With none idle, the next one released goes, unless somebody who has waited longer waits for just
 *   that one, or it has served its database for less than 25 ms: connecting costs as much as many queries, so that
 *   handing places to and fro for each of them would serve nobody.
 * - **B4** Nobody who waits is passed over for ever: those who come later have waited less (B2, B3).
 * - **B5** What is lent is never taken away.
 */
export class ConnectionBudget {
  readonly max: number
  /** Pools that have connections. */
  readonly #members = new Set<BudgetMember>()
  /** Pools that have found no place. Those that no longer need one are found out when it matters. */
  readonly #hungry = new Set<BudgetMember>()
  #used = 0
  #ending = 0
  /** Whether a pool may be waiting for a place. Read whenever a connection is released. */
  contended = false

  constructor(max: number) {
    this.max = max
  }

  /** Connections that exist, in whatever state. */
  get used(): number {
    return this.#used
  }

  /** A place for one more connection, if there is one; else the member is called when there is. */
  claim(member: BudgetMember): boolean {
    if (this.#used < this.max) {
      this.#used++
      this.#members.add(member)
      return true
    }
    this.#hungry.add(member)
    this.contended = true
    this.#makeRoom()
    return false
  }

  /** A place for one more connection that nobody waits for yet: only one that is free and that nobody else wants. */
  claimSpare(member: BudgetMember): boolean {
    if (this.#used >= this.max || this.#stillHungry().size > 0) return false
    this.#used++
    this.#members.add(member)
    return true
  }

  /** One of the connections is being closed. */
  ending(): void {
    this.#ending++
  }

  /** It is closed. */
  ended(member: BudgetMember): void {
    this.#ending--
    this.#used--
    if (member.open === 0) this.#members.delete(member)
    // It may have waited for just this, because of its own maximum, and then stands in line like everybody else.
    if (member.need > 0) this.#hungry.add(member)
    this.#share()
  }

  /**
   * Whether a connection should be closed in favour of another database.
   *
   * @param connectedAt when it was opened; by `performance.now()`, as all times here.
   */
  wouldRather(member: BudgetMember, connectedAt: number): boolean {
    let missing = -this.#ending
    let longest = Number.POSITIVE_INFINITY
    for (const other of this.#stillHungry()) {
      if (other === member) continue
      missing += other.need
      longest = Math.min(longest, other.waitingSince ?? longest)
    }
    if (missing <= 0) return false
    const own = member.waitingSince
    return own === undefined || (longest < own && performance.now() - connectedAt >= TENURE_MS)
  }

  /** Gives what is free to those who have waited longest, and sees to it that the others get something. */
  #share(): void {
    while (this.#used < this.max) {
      const next = this.#longestWaiting()
      if (!next) break
      next.grow()
    }
    this.#makeRoom()
  }

  #longestWaiting(): BudgetMember | undefined {
    let first: BudgetMember | undefined
    for (const member of this.#stillHungry()) {
      if (!first || (member.waitingSince ?? 0) < (first.waitingSince ?? 0)) first = member
    }
    return first
  }

  #makeRoom(): void {
    if (!this.contended) return
    let missing = -this.#ending
    for (const member of this.#stillHungry()) missing += member.need
    for (; missing > 0; missing--) {
      const oldest = this.#longestIdle()
      if (!oldest) return
      oldest.evictOldest()
    }
  }

  #longestIdle(): BudgetMember | undefined {
    let oldest: BudgetMember | undefined
    let since = Number.POSITIVE_INFINITY
    for (const member of this.#members) {
      const { idleSince } = member
      if (idleSince === undefined || idleSince >= since) continue
      oldest = member
      since = idleSince
    }
    return oldest
  }

  #stillHungry(): ReadonlySet<BudgetMember> {
    for (const member of this.#hungry) if (member.need === 0) this.#hungry.delete(member)
    this.contended = this.#hungry.size > 0
    return this.#hungry
  }
}
