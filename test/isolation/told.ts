/** Everything that an answer of the database tells: rows, or an error with every detail of it. */
export const told = (answer: unknown): string =>
  JSON.stringify(answer, (_, value) => {
    if (typeof value === 'bigint') return String(value)
    return value instanceof Error ? { ...value, message: value.message, cause: value.cause } : value
  }) ?? ''
