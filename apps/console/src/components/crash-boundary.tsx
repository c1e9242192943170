import { Button } from '@mantine/core'
import { Component, type ReactNode } from 'react'
import { ProblemAlert } from './problem-alert.tsx'

interface CrashState {
  readonly error: unknown
}

/** Shows what broke the console instead of an empty page. */
export class CrashBoundary extends Component<{ children: ReactNode }, CrashState> {
  override state: CrashState = { error: null }

  static getDerivedStateFromError(error: unknown): CrashState {
    return { error }
  }

  override render() {
    if (this.state.error === null) return this.props.children
    return (
      <main style={{ maxWidth: '36rem', margin: '4rem auto', padding: '1rem' }}>
        <ProblemAlert error={this.state.error} />
        <Button mt="md" onClick={() => window.location.reload()}>
          Reload the console
        </Button>
      </main>
    )
  }
}
