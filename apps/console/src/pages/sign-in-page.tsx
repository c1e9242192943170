import { Button, PasswordInput, Stack } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useMutation } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { identify } from '../api/operator.ts'
import { ProblemError } from '../api/problem-error.ts'
import { queryClient } from '../api/query-client.ts'
import { Logo } from '../components/logo.tsx'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { inspectToken } from '../session/operator-token.ts'
import { startSession, useSession } from '../session/session.ts'
import classes from './sign-in-page.module.css'

export function SignInPage() {
  useDocumentTitle('Sign in · Freehold')
  const { ended } = useSession()
  const [pasted, setPasted] = useState('')
  const signIn = useMutation({ mutationFn: signInWith })
  const error = signIn.error ?? (ended === null ? null : new ProblemError(ended))

  const submit = (event: FormEvent) => {
    event.preventDefault()
    signIn.mutate(pasted)
  }
  return (
    <main className={classes.page}>
      <form onSubmit={submit} className={classes.card} aria-labelledby="sign-in">
        <Logo />
        <div>
          <h1 id="sign-in">Sign in</h1>
          <p className="dim">With an operator token. It is kept in this tab only.</p>
        </div>
        <Stack gap="sm">
          <PasswordInput
            label="Operator token"
            placeholder="eyJhbGciOi…"
            description="Printed by npm start, or issued by whoever runs the control API"
            autoComplete="off"
            spellCheck={false}
            autoFocus
            required
            withAsterisk={false}
            value={pasted}
            onChange={(event) => setPasted(event.currentTarget.value)}
            visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the token' }}
          />
          {error !== null && !signIn.isPending && <ProblemAlert error={error} />}
          <Button type="submit" fullWidth loading={signIn.isPending}>
            Sign in
          </Button>
        </Stack>
      </form>
    </main>
  )
}

async function signInWith(pasted: string): Promise<void> {
  const { token, problem } = inspectToken(pasted, Date.now())
  if (problem !== undefined) throw new ProblemError(problem)
  const operator = await identify(token)
  // What another operator was allowed to see must not outlive his session.
  queryClient.clear()
  queryClient.setQueryData(['operator'], operator)
  startSession(token)
}
