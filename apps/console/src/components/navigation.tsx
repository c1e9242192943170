import { IconArrowsExchange, IconBuildings, IconServer2 } from '@tabler/icons-react'
import { Link, useLocation } from 'wouter'
import { useMoves } from '../api/use-moves.ts'
import classes from './navigation.module.css'

const places = [
  { href: '/tenants', label: 'Tenants', icon: IconBuildings },
  { href: '/moves', label: 'Moves', icon: IconArrowsExchange },
  { href: '/clusters', label: 'Clusters', icon: IconServer2 },
] as const

export function Navigation({ onNavigate }: { onNavigate: () => void }) {
  const [path] = useLocation()
  return (
    <nav aria-label="Main" className={classes.navigation}>
      {places.map(({ href, label, icon: Icon }) => (
        <Link
          key={href}
          href={href}
          onClick={onNavigate}
          className={classes.link}
          aria-current={path === href ? 'page' : path.startsWith(`${href}/`) ? 'true' : undefined}
        >
          <Icon size={17} stroke={1.7} aria-hidden />
          {label}
          {href === '/moves' && <ActiveMoves />}
        </Link>
      ))}
    </nav>
  )
}

function ActiveMoves() {
  const { data } = useMoves({ active: true })
  const count = data?.items.length ?? 0
  if (count === 0) return null
  const shown = data?.nextCursor ? `${count}+` : String(count)
  return (
    <span className={classes.count}>
      {shown}
      <span className={classes.hidden}> running</span>
    </span>
  )
}
