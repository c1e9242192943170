/** What changes the session or the transaction, when it begins a statement. */
const STATEMENTS =
  /^(set\s+(local\s+|session\s+)?("?[\w.]+"?\s*(=|\bto\b)|role\b|session\b|transaction\b|time\s+zone\b|constraints\b)|set\s+(local\s+|session\s+)?\w+\s*$|reset\b|discard\b|begin\b|start\s+transaction\b|commit\b|rollback\b|prepare\b|deallocate\b|listen\b)/i

const FUNCTIONS = /\bset_config\s*\(/i

/** The part of a statement that changes the session, if the text of it has one. */
export function sessionChange(text: string): string | undefined {
  const plain = text.replaceAll(/--[^\n]*|\/\*[\s\S]*?\*\//g, ' ')
  for (const statement of plain.split(';').map((part) => part.trim())) {
    const found = STATEMENTS.exec(statement)
    if (found) return found[0].trim().replaceAll(/\s+/g, ' ').toLowerCase()
  }
  return FUNCTIONS.test(plain) ? 'set_config()' : undefined
}
