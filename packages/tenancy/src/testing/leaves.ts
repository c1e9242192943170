/** A value at the end of a structure, as text, and where in it that stands. */
export interface Leaf {
  readonly text: string
  readonly path: string
}

const JSON_START = /^\s*[[{]/

/**
 * Walks over whatever product code may return: rows, answers of `fetch` and of Fastify's `inject`, errors, maps. Text
 * that is JSON is looked into as well.
 */
export async function* leavesOf(
  value: unknown,
  path = '',
  seen = new WeakSet<object>(),
): AsyncGenerator<Leaf> {
  switch (typeof value) {
    case 'string':
      yield { text: value, path }
      if (JSON_START.test(value)) yield* leavesOf(parsed(value), path, seen)
      return
    case 'number':
    case 'bigint':
      yield { text: String(value), path }
      return
    case 'object':
      if (value === null || seen.has(value)) return
      seen.add(value)
      yield* inside(value, path, seen)
  }
}

async function* inside(value: object, path: string, seen: WeakSet<object>): AsyncGenerator<Leaf> {
  if (value instanceof Date) {
    yield { text: Number.isNaN(value.getTime()) ? '' : value.toISOString(), path }
  } else if (value instanceof Uint8Array) {
    yield { text: Buffer.from(value).toString('hex'), path }
  } else if (value instanceof Response) {
    const text = value.bodyUsed ? '' : await value.clone().text()
    yield* leavesOf({ headers: [...value.headers], body: text }, path, seen)
  } else if (isInjected(value)) {
    yield* leavesOf({ headers: value.headers, body: value.payload }, path, seen)
  } else if (value instanceof Map || value instanceof Set) {
    yield* leavesOf([...value], path, seen)
  } else {
    // An error's own message is not enumerable.
    const message = value instanceof Error ? { message: value.message } : {}
    for (const [key, inner] of Object.entries({ ...value, ...message })) {
      yield* leavesOf(inner, path === '' ? key : `${path}.${key}`, seen)
    }
  }
}

/** An answer of Fastify's `inject`: it also holds the request, with sockets and all. */
function isInjected(value: object): value is { headers: unknown; payload: string } {
  return (
    'statusCode' in value && 'headers' in value && 'payload' in value && typeof value.payload === 'string'
  )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
