import { z } from 'zod'

// Zod compiles schemas with `new Function` where it may; asking would already violate `script-src 'self'`.
z.config({ jitless: true })
