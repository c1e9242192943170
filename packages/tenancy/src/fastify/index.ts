export { type FreeholdPluginOptions, freehold } from './plugin.ts'
