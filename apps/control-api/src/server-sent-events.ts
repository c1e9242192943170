import type { MoveNews } from './follow-move.ts'

/** News of a move in the format of Server-Sent Events; an entry of the timeline carries its number as the id. */
export async function* asServerSentEvents(news: AsyncIterable<MoveNews>): AsyncGenerator<string> {
  for await (const item of news) yield format(item)
}

function format(item: MoveNews): string {
  switch (item.kind) {
    case 'timeline':
      return `id: ${item.event.sequence}\nevent: timeline\ndata: ${JSON.stringify(item.event)}\n\n`
    case 'move':
      return `event: move\ndata: ${JSON.stringify(item.move)}\n\n`
    case 'alive':
      return ': still here\n\n'
    case 'end':
      return 'event: end\ndata: {}\n\n'
  }
}
