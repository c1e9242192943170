/** A position in the write-ahead log, as the number that Postgres writes as `16/B374D848`. */
export type Lsn = bigint

/** Parses `16/B374D848`. */
export function parseLsn(text: string): Lsn {
  const [high, low] = text.split('/')
  if (high === undefined || low === undefined) throw new TypeError(`not an LSN: ${text}`)
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}

/** Writes an LSN as Postgres does. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`
}
