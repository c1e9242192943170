export interface ServerSentEvent {
  readonly event: string
  readonly data: string
  /** The last id that the stream gave, to be sent back as Last-Event-ID. */
  readonly id: string | undefined
}

/**
 * Reads Server-Sent Events from a response's body. (EventSource cannot send an Authorization header.)
 *
 * @param idleMilliseconds how long nothing at all, not even a comment, may arrive before the stream counts as
 * broken: a connection that died silently would otherwise look quiet for ever.
 * @throws Error when the stream is idle for too long, and whatever the transport throws.
 */
export async function* readServerSentEvents(
  body: ReadableStream<Uint8Array>,
  idleMilliseconds: number,
): AsyncGenerator<ServerSentEvent, void> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  const parser = new EventParser()
  try {
    while (true) {
      const { done, value } = await withTimeout(reader.read(), idleMilliseconds)
      if (done) return
      yield* parser.push(decoder.decode(value, { stream: true }))
    }
  } finally {
    // Also when the consumer stops early or the stream is broken; then there is nothing left to cancel.
    await reader.cancel().catch(() => undefined)
  }
}

/** Lines end in LF, CR or CRLF. A CR at the very end may be half of a CRLF, so it waits for what follows. */
const lineEnd = /\r\n|\n|\r(?!$)/

class EventParser {
  #rest = ''
  #event = ''
  #data: string[] = []
  #id: string | undefined;

  *push(text: string): Generator<ServerSentEvent, void> {
    const lines = (this.#rest + text).split(lineEnd)
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') yield* this.#dispatch()
      else this.#field(line)
    }
  }

  *#dispatch(): Generator<ServerSentEvent, void> {
    if (this.#data.length > 0) {
      yield { event: this.#event || 'message', data: this.#data.join('\n'), id: this.#id }
    }
    this.#event = ''
    this.#data = []
  }

  #field(line: string): void {
    const colon = line.indexOf(':')
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'event') this.#event = value
    if (name === 'data') this.#data.push(value)
    if (name === 'id') this.#id = value
  }
}

async function withTimeout<T>(promise: Promise<T>, milliseconds: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Nothing arrived for ${milliseconds} ms.`)), milliseconds)
  })
  try {
    return await Promise.race([promise, expired])
  } finally {
    clearTimeout(timer)
  }
}
