import { relative, sep } from 'node:path'

/** Whether a file is meant by one of the patterns, which are relative to the folder that is linted: `src/db/**`. */
export function isMeant(file: string, folder: string, patterns: readonly string[]): boolean {
  const path = relative(folder, file).split(sep).join('/')
  return patterns.some((pattern) => toExpression(pattern).test(path))
}

/** `**` stands for any folders, `*` for anything within one. */
function toExpression(pattern: string): RegExp {
  const parts = pattern.split(/(\*\*\/|\*\*|\*)/).map((part) => {
    if (part === '**/') return '(?:.*/)?'
    if (part === '**') return '.*'
    if (part === '*') return '[^/]*'
    return part.replaceAll(/[$()+.?[\\\]^{|}]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('')}$`)
}
