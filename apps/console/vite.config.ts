import react from '@vitejs/plugin-react'
import { defaultClientConditions, defineConfig } from 'vite'

export default defineConfig({
  plugins: [react()],
  // The contract is read from its source, as everywhere in development: no build of it has to come first.
  resolve: { conditions: ['@freehold/source', ...defaultClientConditions] },
  build: {
    // Everything that is loaded comes from files of this origin, so that `default-src 'self'` is enough.
    assetsInlineLimit: 0,
    // One script of 220 kB compressed, cached by its name for as long as it does not change.
    chunkSizeWarningLimit: 1000,
  },
})
