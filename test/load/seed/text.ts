import type { Random } from './random.ts'

const firstNames = [
  'Ada',
  'Björn',
  'Chloë',
  '大和',
  'Đorđe',
  'Éva',
  'Фёдор',
  'גילה',
  'Hamza',
  'Ìfé',
  "O'Shea",
  'Zoë',
]
const lastNames = [
  'Açar',
  'Bråten',
  'Čapek',
  'Díaz',
  'Ελύτης',
  'Fiß',
  'Гоголь',
  '山田',
  'Müller',
  'Nguyễn',
  'Smith',
]
const adjectives = [
  'blue',
  'solid',
  'handmade',
  'ergonomic',
  'größere',
  'léger',
  '軽い',
  'тихий',
  'tiny',
  '100 %',
]
const nouns = [
  'kettle',
  'chair',
  'lamp',
  'Tür',
  'théière',
  '椅子',
  'стол',
  'bolt M8×40',
  '🛠 set',
  'cable "USB\\C"',
]
const sentences = [
  'Please ring twice.',
  'Leave it with the neighbours;\nthey are at home all day.',
  'Grüße aus Köln 🎈',
  "It's a gift: don't show the price!",
  'C:\\orders\\new\ttab and "quotes"',
  'مرحبا، شكرا جزيلا',
  '',
]
const words = [
  'vip',
  'wholesale',
  'new',
  'über',
  'with space',
  'comma,inside',
  'quote"inside',
  'back\\slash',
  'NULL',
  '{}',
]

export const personName = (random: Random): string => `${random.pick(firstNames)} ${random.pick(lastNames)}`

export const productName = (random: Random): string => `${random.pick(adjectives)} ${random.pick(nouns)}`

export const sentence = (random: Random): string => random.pick(sentences)

/** Up to three labels, more often none. */
export const labels = (random: Random): string[] =>
  Array.from({ length: Math.max(0, random.below(6) - 2) }, () => random.pick(words))

/** Text that does not compress, so that Postgres stores it out of line when it is long. */
export function denseText(random: Random, length: number): string {
  const bytes = Buffer.alloc(Math.ceil(length / 4) * 3)
  for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE(random.bits(), at)
  return bytes.toString('base64').slice(0, length)
}

export const hexDigest = (random: Random): string =>
  Array.from({ length: 8 }, () => random.bits().toString(16).padStart(8, '0')).join('')

export const dayOfBirth = (random: Random): string =>
  new Date(Date.UTC(1940 + random.below(68), random.below(12), 1 + random.below(28)))
    .toISOString()
    .slice(0, 10)

export const address = (random: Random): Record<string, unknown> => ({
  street: `${random.pick(lastNames)}-Straße ${1 + random.below(200)}`,
  city: random.pick(['Köln', 'Zürich', '東京', 'São Paulo', 'Łódź', 'Athens']),
  zip: String(10_000 + random.below(90_000)),
  ...(random.chance(0.3)
    ? { geo: { lat: (random.below(180_000) - 90_000) / 1000, verified: true, note: null } }
    : {}),
})

/** An instant of 2025 or 2026 to the microsecond, far enough back that what follows it is in the past too. */
export function instant(random: Random): string {
  return formatInstant(FIRST_INSTANT + random.below(SPAN_SECONDS), random.below(1_000_000))
}

/** An instant up to a month after another. */
export function later(random: Random, than: string): string {
  const seconds = Math.floor(Date.parse(`${than.slice(0, 19)}Z`) / 1000) + 1
  return formatInstant(seconds + random.below(30 * 86_400), random.below(1_000_000))
}

const FIRST_INSTANT = Date.UTC(2025, 0, 1) / 1000
const SPAN_SECONDS = 650 * 86_400

function formatInstant(seconds: number, microseconds: number): string {
  const second = seconds % 86_400
  const time = [Math.floor(second / 3600), Math.floor(second / 60) % 60, second % 60].map(twoDigits).join(':')
  return `${formatDay(Math.floor(seconds / 86_400))}T${time}.${String(microseconds).padStart(6, '0')}Z`
}

const twoDigits = (value: number): string => (value < 10 ? `0${value}` : String(value))

const days = new Map<number, string>()

/** A load writes half a million instants of some hundred days. */
function formatDay(day: number): string {
  let text = days.get(day)
  if (text === undefined) {
    text = new Date(day * 86_400_000).toISOString().slice(0, 10)
    days.set(day, text)
  }
  return text
}

/** Writes a whole number of the last digit as a decimal with that many digits after the point. */
export function fixed(units: number, scale: number): string {
  const digits = String(units).padStart(scale + 1, '0')
  return `${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}
