import { readServerSentEvents, type ServerSentEvent } from '@freehold/contract'
import t from 'tap'

function streamOf(...chunks: string[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(encoder.encode(chunk))
      controller.close()
    },
  })
}

async function collect(body: ReadableStream<Uint8Array>): Promise<ServerSentEvent[]> {
  const events: ServerSentEvent[] = []
  for await (const event of readServerSentEvents(body, 1000)) events.push(event)
  return events
}

const text =
  ': keep-alive\n\nevent: move\ndata: {"a":1}\n\nevent: timeline\nid: 7\ndata: first\ndata: "é€"\n\ndata:bare\n\n'
const expected = [
  { event: 'move', data: '{"a":1}', id: undefined },
  { event: 'timeline', data: 'first\n"é€"', id: '7' },
  { event: 'message', data: 'bare', id: '7' },
]

t.test('events are read wherever the chunks and lines end', async (t) => {
  for (const lineEnd of ['\n', '\r\n', '\r']) {
    const wire = text.replaceAll('\n', lineEnd)
    const whole = await collect(streamOf(wire, lineEnd === '\r' ? ':' : ''))
    t.same(whole, expected, JSON.stringify(lineEnd))
    for (let cut = 1; cut < wire.length; cut += 1) {
      const events = await collect(streamOf(wire.slice(0, cut), wire.slice(cut), lineEnd === '\r' ? ':' : ''))
      if (JSON.stringify(events) !== JSON.stringify(whole))
        t.fail(`cut at ${cut} of ${JSON.stringify(lineEnd)}`)
    }
  }
})

t.test('a character of several bytes may be cut in two', async (t) => {
  const bytes = new TextEncoder().encode('data: €\n\n')
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
      controller.close()
    },
  })
  t.same(await collect(body), [{ event: 'message', data: '€', id: undefined }])
})

t.test('an event that the stream breaks off is not delivered', async (t) => {
  t.same(await collect(streamOf('data: whole\n\ndata: half')), [
    { event: 'message', data: 'whole', id: undefined },
  ])
})

t.test('silence breaks the stream and lets go of the connection', async (t) => {
  let cancelled = false
  const body = new ReadableStream<Uint8Array>({
    cancel() {
      cancelled = true
    },
  })
  await t.rejects(readServerSentEvents(body, 20).next(), /Nothing arrived for 20 ms/)
  t.ok(cancelled)
})

t.test('a reader that stops early lets go of the connection', async (t) => {
  let cancelled = false
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode('data: 1\n\ndata: 2\n\n')),
    cancel() {
      cancelled = true
    },
  })
  for await (const event of readServerSentEvents(body, 1000)) {
    t.equal(event.data, '1')
    break
  }
  t.ok(cancelled)
})
