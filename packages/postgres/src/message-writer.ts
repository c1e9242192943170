/** What goes over the wire for a parameter. */
export type WireValue = Buffer | string | null

const CODE = { parse: 0x50, bind: 0x42, describe: 0x44, execute: 0x45, close: 0x43, sync: 0x53 } as const
const STATEMENT = 0x53
const PORTAL = 0x50
const TEXT_FORMAT = 0
const BINARY_FORMAT = 1
const FIRST_SIZE = 4_096
/** A buffer that one large parameter has blown up is not kept. */
const MAX_KEPT_SIZE = 65_536

/**
 * Writes messages of the extended query protocol (PostgreSQL's documentation, "Message Formats") one after the
 * other into one buffer, so that a whole pipeline is one write to the socket. All use the unnamed portal.
 */
export class MessageWriter {
  #buffer = Buffer.allocUnsafe(FIRST_SIZE)
  #length = 0
  #messageStart = 0

  parse(name: string, text: string): void {
    this.#begin(CODE.parse)
    this.#string(name)
    this.#string(text)
    this.#int16(0)
    this.#end()
  }

  bind(statement: string, values: readonly WireValue[]): void {
    this.#begin(CODE.bind)
    this.#string('')
    this.#string(statement)
    this.#int16(values.length)
    for (const value of values) this.#int16(value instanceof Buffer ? BINARY_FORMAT : TEXT_FORMAT)
    this.#int16(values.length)
    for (const value of values) this.#value(value)
    this.#int16(0)
    this.#end()
  }

  describePortal(): void {
    this.#begin(CODE.describe)
    this.#byte(PORTAL)
    this.#string('')
    this.#end()
  }

  execute(): void {
    this.#begin(CODE.execute)
    this.#string('')
    this.#int32(0)
    this.#end()
  }

  closeStatement(name: string): void {
    this.#begin(CODE.close)
    this.#byte(STATEMENT)
    this.#string(name)
    this.#end()
  }

  sync(): void {
    this.#begin(CODE.sync)
    this.#end()
  }

  /** Forgets what has been written, after an error half way. */
  discard(): void {
    this.#length = 0
  }

  /** What has been written; the writer begins anew. */
  take(): Buffer {
    const written = Buffer.allocUnsafe(this.#length)
    this.#buffer.copy(written, 0, 0, this.#length)
    this.#length = 0
    if (this.#buffer.length > MAX_KEPT_SIZE) this.#buffer = Buffer.allocUnsafe(FIRST_SIZE)
    return written
  }

  #begin(code: number): void {
    this.#byte(code)
    this.#messageStart = this.#length
    this.#int32(0)
  }

  #end(): void {
    this.#buffer.writeInt32BE(this.#length - this.#messageStart, this.#messageStart)
  }

  #value(value: WireValue): void {
    if (value === null) {
      this.#int32(-1)
    } else if (typeof value === 'string') {
      // The length in bytes is known once the text is written: three bytes a UTF-16 unit, at most.
      this.#reserve(4 + value.length * 3)
      const written = this.#buffer.write(value, this.#length + 4)
      this.#buffer.writeInt32BE(written, this.#length)
      this.#length += 4 + written
    } else {
      this.#int32(value.length)
      this.#reserve(value.length)
      value.copy(this.#buffer, this.#length)
      this.#length += value.length
    }
  }

  #string(text: string): void {
    this.#reserve(text.length * 3 + 1)
    if (text !== '') this.#length += this.#buffer.write(text, this.#length)
    this.#buffer[this.#length++] = 0
  }

  #byte(value: number): void {
    this.#reserve(1)
    this.#buffer[this.#length++] = value
  }

  #int16(value: number): void {
    this.#reserve(2)
    this.#buffer.writeUInt16BE(value, this.#length)
    this.#length += 2
  }

  #int32(value: number): void {
    this.#reserve(4)
    this.#buffer.writeInt32BE(value, this.#length)
    this.#length += 4
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }
}
