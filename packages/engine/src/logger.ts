/** Where the engine says what it does; pino fits. Never given secrets or tenants' rows. */
export interface Logger {
  info(fields: Readonly<Record<string, unknown>>, message: string): void
  warn(fields: Readonly<Record<string, unknown>>, message: string): void
}
