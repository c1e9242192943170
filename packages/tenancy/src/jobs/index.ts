export type { TenantJobsOptions } from './jobs-options.ts'
export type { QueueLocation } from './queue-backend.ts'
export {
  type JobOptions,
  type JobSender,
  type TenantQueue,
  type TenantQueueOptions,
  tenantQueue,
} from './tenant-queue.ts'
export { type TenantJob, type TenantWorker, type TenantWorkerOptions, tenantWorker } from './tenant-worker.ts'
