/** One event of a stream of Server-Sent Events; comments have only their text. */
export interface StreamEvent {
  readonly event?: string
  readonly id?: string
  readonly data?: unknown
  readonly comment?: string
}

/** Reads a stream of Server-Sent Events whose data are JSON. */
export async function* readEventStream(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true })
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      yield parseEvent(text.slice(0, end))
      text = text.slice(end + 2)
    }
  }
}

function parseEvent(block: string): StreamEvent {
  const fields = block.split('\n').map((line) => {
    const colon = line.indexOf(':')
    return [colon === 0 ? 'comment' : line.slice(0, colon), line.slice(colon + 1).trim()]
  })
  const event: Record<string, unknown> = Object.fromEntries(fields)
  return typeof event.data === 'string' ? { ...event, data: JSON.parse(event.data) } : event
}
