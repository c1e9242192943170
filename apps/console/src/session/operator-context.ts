import type { Operator } from '@freehold/contract'
import { createContext, use } from 'react'

/** Who is signed in; provided by the session gate, so below it there is always somebody. */
export const OperatorContext = createContext<Operator>({ sub: '', role: 'viewer' })

export function useOperator(): Operator {
  return use(OperatorContext)
}

/** Whether the operator may change anything. The server checks again; this only hides what it would refuse. */
export function useMayChange(): boolean {
  return useOperator().role === 'operator'
}
