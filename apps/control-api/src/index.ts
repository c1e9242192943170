export { buildControlApi, type ControlApiDependencies } from './app.ts'
export { type ControlApiConfig, readConfig } from './config.ts'
export { createLogger } from './logger.ts'
