// The published types of pg-copy-streams lack COPY BOTH, the mode in which replication runs.

import type { Duplex, DuplexOptions } from 'node:stream'
import type { Submittable } from 'pg'

declare module 'pg-copy-streams' {
  export interface CopyBothOptions extends DuplexOptions {
    /** Each chunk read is one CopyData frame, whole. */
    alignOnCopyDataFrame?: boolean
  }
  export type CopyBothStream = Duplex & Submittable
  export function both(text: string, options?: CopyBothOptions): CopyBothStream
}
