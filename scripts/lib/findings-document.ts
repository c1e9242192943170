import { type FindingDefinition, findingRegistry } from '@freehold/contract'

const INTRODUCTION = `# Findings

What the checks before a move can find ([moving-a-tenant.md](moving-a-tenant.md)). A code is public interface: it is never
renamed and never used for something else. A move with a blocking finding is not started: the request is refused with the
error named here ([errors.md](errors.md)), whose \`issues\` name every blocking finding.

This page is generated from \`packages/contract/src/finding-registry.ts\` by \`npm run docs\`.
`

/** The page that documents every finding of a preflight, as Markdown. */
export function renderFindingsDocument(): string {
  const definitions = Object.entries<FindingDefinition>(findingRegistry)
  const sections = (['blocking', 'advisory'] as const).flatMap((severity) => [
    `## ${severity === 'blocking' ? 'Blocking' : 'Advisory'}\n`,
    ...definitions.filter(([, each]) => each.severity === severity).map(renderFinding),
  ])
  return [INTRODUCTION, ...sections].join('\n')
}

function renderFinding([code, definition]: [string, FindingDefinition]): string {
  const refusal = definition.severity === 'blocking' ? ` Refused with \`${definition.error}\`.` : ''
  return `### ${code}\n\n${definition.title}.${refusal}\n\n**Remedy:** ${definition.remedy}\n`
}
