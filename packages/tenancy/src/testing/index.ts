export { assertIsolated, type IsolationTrial } from './assert-isolated.ts'
export { runAs, type SeedOptions, seedTwoTenants, type TestTenant, type TwoTenants } from './two-tenants.ts'
