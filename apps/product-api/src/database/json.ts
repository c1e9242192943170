/** What is written to a jsonb column: SQL null for null, and never the JSON value null at the top. */
export const toJson = (value: unknown): string | null => (value === null ? null : JSON.stringify(value))
