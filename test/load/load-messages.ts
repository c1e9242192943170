import type { Load, LoadOptions } from './load.ts'

/** What the parent asks the load process; each is answered once, by number. */
export type LoadCall =
  | { readonly method: 'start'; readonly parameters: readonly [LoadOptions] }
  | { [M in keyof Load]: { readonly method: M; readonly parameters: Parameters<Load[M]> } }[keyof Load]

export interface LoadRequest {
  readonly number: number
  readonly call: LoadCall
}

export interface LoadAnswer {
  readonly number: number
  readonly result?: unknown
  /** Message and stack of what was thrown instead. */
  readonly error?: string
}
