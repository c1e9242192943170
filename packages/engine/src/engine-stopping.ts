/** The process is being stopped; its operations are given back at once. */
export class EngineStopping extends Error {
  override readonly name = 'EngineStopping'
}
