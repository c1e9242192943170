/** The command line is wrong; nothing was begun. */
export class BadArguments extends Error {
  override readonly name = 'BadArguments'
}
