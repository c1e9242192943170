import { existsSync } from 'node:fs'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import { FreeholdError } from '@freehold/contract'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

const PAGE = 'index.html'

/**
 * Serves the console's build. The console has its own routes, so that a page which is not a file is answered with
 * the console itself; everything else that does not exist is a problem document.
 */
export function serveConsole(app: FastifyInstance, folder: string): void {
  const built = existsSync(join(folder, PAGE))
  if (built) {
    app.register(fastifyStatic, {
      root: folder,
      wildcard: false,
      index: PAGE,
      setHeaders: (reply, path) => void reply.header('cache-control', cacheControl(path)),
    })
  }
  app.setNotFoundHandler((request, reply) => {
    if (built && isPage(request)) return sendPage(reply)
    throw new FreeholdError('route_not_found', `There is no ${request.method} ${pathOf(request)}.`)
  })
}

/** The build names scripts and styles by their content; the page that names them must be asked for anew. */
function cacheControl(path: string): string {
  return path.includes('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache'
}

function isPage(request: FastifyRequest): boolean {
  const path = pathOf(request)
  const isOfApi = /^\/(v\d+|docs|healthz|readyz|assets)(\/|$)/.test(path)
  return request.method === 'GET' && !isOfApi && request.headers.accept?.includes('text/html') === true
}

function sendPage(reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', 'no-cache').sendFile(PAGE)
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? ''
}
