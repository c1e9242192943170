export * from './adopt-database.ts'
export { dataMigrations } from './data-migrations.ts'
export * from './roles.ts'
export { closeSharedWays, SHARED_FUNCTIONS } from './shared-ways.ts'
