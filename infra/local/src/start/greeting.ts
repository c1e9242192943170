import { writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { Tenant } from '@freehold/contract'
import { repositoryPath } from '../stack/layout.ts'
import type { Stack } from '../stack/stack.ts'

/** What `npm start` says when everything runs: where things are, and what to try, with the tokens for it in files. */
export async function greet(stack: Stack, tenant: Tenant): Promise<string> {
  const { controlApi, productApi } = stack.urls
  const operatorToken = stack.operatorToken()
  const operatorFile = await keepToken(stack, 'operator-token', operatorToken)
  const productFile = await keepToken(stack, `${tenant.slug}-token`, stack.productToken(tenant.id))
  return `
Freehold runs. Ctrl-C stops everything; npm start resumes it.

  Console         ${controlApi}/
  API reference   ${controlApi}/docs
  Product API     ${productApi}
  Log             ${shown(join(stack.directory, 'stack.log'))}

Operator token, to sign in to the console with; good for 12 hours:

  ${operatorToken}

In another terminal:

  export FREEHOLD_URL=${controlApi} FREEHOLD_TOKEN=$(cat ${operatorFile})
  npm run --silent freehold -- tenants list
  npm run --silent freehold -- tenants promote ${tenant.slug} --region eu --watch

The orders of ${tenant.slug}, as a user of the example product sees them, before, during and after its move:

  curl -H "Authorization: Bearer $(cat ${productFile})" ${productApi}/orders
`
}

/** @returns the file, as it is written on a command line. */
async function keepToken(stack: Stack, name: string, token: string): Promise<string> {
  const file = join(stack.directory, name)
  await writeFile(file, token, { mode: 0o600 })
  return shown(file)
}

function shown(file: string): string {
  const path = relative(repositoryPath(''), file)
  return path.startsWith('..') ? file : path
}
