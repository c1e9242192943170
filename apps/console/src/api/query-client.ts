import { QueryClient } from '@tanstack/react-query'
import { isTransient } from './problem-error.ts'

const MAX_RETRIES = 2

/** One cache for all answers of the control API; what is refused for good is not asked again. */
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1000,
      retry: (failures, error) => failures < MAX_RETRIES && isTransient(error),
      retryDelay: (failures) => 500 * 2 ** failures,
      // The control API may well be on this machine while the network is gone.
      networkMode: 'always',
    },
    mutations: { networkMode: 'always' },
  },
})
