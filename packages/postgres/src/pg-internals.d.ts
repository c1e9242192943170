// A part of `pg` that its own companions (pg-cursor, pg-query-stream) build on and its types leave out.

declare module 'pg/lib/utils.js' {
  /** What goes over the wire for a JavaScript value. */
  export function prepareValue(value: unknown): Buffer | string | null
}
