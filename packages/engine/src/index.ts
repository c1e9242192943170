export { admitResident } from './database/resident.ts'
export { Engine, type EngineOptions } from './engine.ts'
export { planDrain } from './evacuate.ts'
export { describeFailure } from './failure.ts'
export type { Logger } from './logger.ts'
export { defaultMoveSettings, type MoveSettings } from './move/settings.ts'
export { initialProgress } from './move/state.ts'
export { type MoveEventKind, transitions } from './move/transitions.ts'
export { type MoveRequest, type PreparedMove, planMove, startMove } from './plan-move.ts'
export { type OperationQueue, openQueue, type QueueLocation, receiveNudges } from './queue.ts'
export {
  createDatabase,
  type DataMigrations,
  MAINTENANCE_DATABASE,
  migrateDataDatabase,
} from './resources/silo-database.ts'
export { syncReferences } from './sync-references.ts'
