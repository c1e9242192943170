import type { DatabaseFacts } from '../facts/database.ts'
import type { LocaleFacts, ServerFacts } from '../facts/server.ts'
import type { Finding } from '../finding.ts'

/** Asked for before anything is done: what the source lacks a move would miss behind its point of no return. */
export function checkFreehold(isUpToDate: boolean, database: string, cluster: string): Finding[] {
  if (isUpToDate) return []
  const found = `The schema freehold of ${database} on ${cluster} is of an earlier version.`
  return [{ code: 'database_outdated', object: database, found }]
}

/** Whether the target can be a database like the source. */
export function checkDatabases(
  source: { readonly name: string; readonly database: DatabaseFacts; readonly server: ServerFacts },
  target: { readonly name: string; readonly server: ServerFacts },
): Finding[] {
  return [
    ...checkExtensions(source.database, target),
    ...checkLocales(source.server.locale, target.server.locale, target.name),
    ...checkCollationVersion(source.server.locale, source.name),
    ...checkCollationVersion(target.server.locale, target.name),
    ...checkOddities(source.database, source.name),
    ...checkSettings(source.server, target),
  ]
}

/** Names alone: a value may be a secret. */
function checkSettings(
  source: ServerFacts,
  target: { readonly name: string; readonly server: ServerFacts },
): Finding[] {
  return source.settings
    .filter((setting) => !target.server.settings.includes(setting))
    .map((setting) => setting.slice(0, setting.indexOf('=')))
    .map((name) => ({
      code: 'settings_differ',
      object: name,
      found: `The source's database gives sessions of the product a ${name} of its own, which they would not have on ${target.name}.`,
    }))
}

function checkExtensions(
  { extensions }: DatabaseFacts,
  target: { readonly name: string; readonly server: ServerFacts },
): Finding[] {
  return extensions
    .filter(({ name }) => !target.server.extensions.includes(name))
    .map(({ name, needed }) => ({
      code: needed ? 'extension_missing' : 'extension_unused',
      object: name,
      found: `Extension ${name} is not to be had on ${target.name}.`,
    }))
}

function checkLocales(source: LocaleFacts, target: LocaleFacts, name: string): Finding[] {
  const findings: Finding[] = []
  if (source.encoding !== target.encoding) {
    const found = `The source is encoded in ${source.encoding}, ${name} in ${target.encoding}.`
    findings.push({ code: 'encoding_differs', object: name, found })
  }
  if (source.locale !== target.locale) {
    const found = `The source sorts by "${source.locale}", ${name} by "${target.locale}".`
    findings.push({ code: 'collation_differs', object: name, found })
  }
  return findings
}

function checkCollationVersion({ recordedVersion, actualVersion }: LocaleFacts, name: string): Finding[] {
  if (recordedVersion === null || recordedVersion === actualVersion) return []
  const found = `Made with version ${recordedVersion} of its collation; the server has ${actualVersion ?? 'none'} on ${name}.`
  return [{ code: 'collation_outdated', object: name, found }]
}

function checkOddities({ largeObjects, eventTriggers }: DatabaseFacts, name: string): Finding[] {
  const findings: Finding[] = eventTriggers.map((trigger) => ({
    code: 'event_trigger',
    object: trigger,
    found: `Event trigger ${trigger} is enabled in ${name}.`,
  }))
  if (largeObjects > 0) {
    const found = `There are ${largeObjects} large objects in ${name}, of whichever tenant.`
    findings.push({ code: 'large_objects', object: name, found })
  }
  return findings
}
