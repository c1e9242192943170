export { type AddressOptions, readAddress } from './connect.ts'
export { diagnose } from './diagnose.ts'
export { fixScript } from './fix-sql.ts'
export type { DoctorOptions } from './options.ts'
