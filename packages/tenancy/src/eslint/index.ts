import type { ESLint, Linter } from 'eslint'
import { noTenantFromInput } from './no-tenant-from-input.ts'
import { noUnscopedDatabase } from './no-unscoped-database.ts'

const rules = {
  'no-unscoped-database': noUnscopedDatabase,
  'no-tenant-from-input': noTenantFromInput,
}

const base = {
  meta: { name: '@freehold/tenancy', namespace: '@freehold/tenancy' },
  rules,
} satisfies ESLint.Plugin

/**
 * An ESLint plugin (flat config) that keeps product code on the router: `no-unscoped-database` flags ways to a
 * database that no tenant has entered, `no-tenant-from-input` flags a tenant that a client names.
 *
 * @example
 * ```ts
 * // eslint.config.js
 * import isolation from '@freehold/tenancy/eslint'
 *
 * export default [
 *   isolation.configs.recommended,
 *   { files: ['migrations/**', 'src/database.ts'], rules: { '@freehold/tenancy/no-unscoped-database': 'off' } },
 * ]
 * ```
 */
const plugin = {
  ...base,
  configs: {
    /** Both rules, as errors. */
    recommended: {
      name: '@freehold/tenancy/recommended',
      plugins: { '@freehold/tenancy': base },
      rules: {
        '@freehold/tenancy/no-unscoped-database': 'error',
        '@freehold/tenancy/no-tenant-from-input': 'error',
      },
    } satisfies Linter.Config,
  },
}

export default plugin
