import type { TenantId } from '@freehold/contract'

/**
 * Fairness between tenants, on top of a queue that knows none.
 *
 * Every job has a ticket. A tenant has a share of places in the queue, by its tier; a ticket that holds one is open,
 * and its job waits or runs in the queue proper. All others are parked in the tenant's own line, their jobs delayed
 * for so long that only opening them brings them back. When an open job ends, whichever way, its place goes to the
 * tenant's next one, which joins the queue at its end.
 *
 * So tenants take turns, whatever they have put in: this is Nagle's fair queueing (RFC 970, 1985: sources are served
 * in turn, not packets in order), weighted by giving a source more than one place in the turn (Katevenis et al.,
 * "Weighted round-robin cell multiplexing", 1991). It follows that
 *
 * - a job of a tenant that has none waits for at most the shares of the tenants that have some, however long their
 *   lines are: one tenant with 100,000 jobs is one share;
 * - no more of a tenant's jobs than its share run at once, so long ones cannot take all workers;
 * - under load, tenants get worker time as their shares are to one another;
 * - jobs of one tenant begin in the order in which they were put in, but for those that have a place at the same time.
 *
 * A retry gives its place back when it fails, and asks for one when its time has come.
 *
 * The queue is the truth, and tickets are made good from it: a job is put into the queue before it gets a ticket, and
 * a ticket whose job has ended, or was never let in because somebody crashed in between, is found by the sweep of the
 * workers ({@link Tickets.forgotten}). A job that was left without a ticket comes back by itself when its delay ends,
 * after hours. Each step may be done twice.
 */
export interface Tickets {
  /** How many jobs of a tenant have a ticket: all that have not ended, but for those that wait for another attempt. */
  count(line: Line): Promise<number>

  /** Puts jobs at the end of their tenant's line. @returns the jobs that get a place now, in order. */
  admit(line: Line, jobIds: readonly string[]): Promise<string[]>

  /** Whether a job may run: it has a place, or gets one. */
  start(line: Line, jobId: string): Promise<boolean>

  /** Puts a job that may not run to the head of its line. @returns the jobs that get a place now. */
  park(line: Line, jobId: string): Promise<string[]>

  /** Gives a job's place back, if it has one. @returns the jobs that get a place now. */
  finish(line: Line, jobId: string): Promise<string[]>

  /** Open tickets that nobody has touched for a time; whoever gets them looks after them, nobody else for as long. */
  forgotten(queue: string, forMs: number, limit: number): Promise<{ tenantId: TenantId; jobId: string }[]>

  /** Remembers that a tenant in a silo has a queue of its own. */
  noteQueue(pool: string, queue: string): Promise<void>
  forgetQueue(pool: string, queue: string): Promise<void>
  /** The queues of tenants in silos, beside a region's queue of the pool. */
  queues(pool: string): Promise<string[]>

  close(): Promise<void>
}

/** A tenant's line in a queue. */
export interface Line {
  readonly queue: string
  readonly tenantId: TenantId
  /** How many places the tenant has. */
  readonly share: number
}
