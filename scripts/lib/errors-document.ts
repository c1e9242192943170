import { type ErrorDefinition, errorRegistry } from '@freehold/contract'

const INTRODUCTION = `# Error codes

Every error that leaves Freehold carries one of these codes: problem documents
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) of the APIs, messages of the command line, timelines of moves, logs.
A code is public interface: it is never renamed and never used for something else. \`urn:freehold:error:<code>\` is its
\`type\` in a problem document; \`detail\` and \`details\` say what happened this time.

This page is generated from \`packages/contract/src/error-registry.ts\` by \`npm run docs\`.
`

/** The page that documents every error code, as Markdown. */
export function renderErrorsDocument(): string {
  const sections = Object.entries<ErrorDefinition>(errorRegistry).map(renderError)
  return [INTRODUCTION, ...sections].join('\n')
}

function renderError([code, { status, title, next }]: [string, ErrorDefinition]): string {
  return `## ${code}\n\nHTTP ${status}. ${title}.\n\n**Next:** ${next}\n`
}
