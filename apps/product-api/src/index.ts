export { buildProductApi } from './api.ts'
export { type ProductApiConfig, readConfig } from './config.ts'
export type { ProductDatabase } from './database/types.ts'
