import type { ClientBase } from 'pg'

/**
 * Makes this session write and read values as text without loss, and the same on every server, whatever an operator has
 * set for a role, a database or a cluster: 03/04/2026 is two days, and 1,50 may be one and a half or a hundred and fifty.
 */
export async function useExactText(client: ClientBase): Promise<void> {
  await client.query(
    `set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set timezone = 'UTC'; set extra_float_digits = 1;
     set bytea_output = 'hex'; set lc_monetary = 'C'; set xmloption = 'content'`,
  )
}
