export * from './adopt-database.ts'
export * from './roles.ts'
export { closeSharedWays } from './shared-ways.ts'
