import { MantineProvider } from '@mantine/core'
import { Notifications } from '@mantine/notifications'
import { QueryClientProvider } from '@tanstack/react-query'
import { Redirect, Route, Switch } from 'wouter'
import { queryClient } from './api/query-client.ts'
import { CrashBoundary } from './components/crash-boundary.tsx'
import { Shell } from './components/shell.tsx'
import { ClusterPage } from './pages/cluster-page.tsx'
import { ClustersPage } from './pages/clusters-page.tsx'
import { MovePage } from './pages/move-page.tsx'
import { MovesPage } from './pages/moves-page.tsx'
import { NotFoundPage } from './pages/not-found-page.tsx'
import { TenantPage } from './pages/tenant-page.tsx'
import { TenantsPage } from './pages/tenants-page.tsx'
import { SessionGate } from './session/session-gate.tsx'
import { theme } from './theme.ts'

export function App() {
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <CrashBoundary>
        <QueryClientProvider client={queryClient}>
          <Notifications position="bottom-right" />
          <SessionGate>
            <Shell>
              <Routes />
            </Shell>
          </SessionGate>
        </QueryClientProvider>
      </CrashBoundary>
    </MantineProvider>
  )
}

function Routes() {
  return (
    <Switch>
      <Route path="/">
        <Redirect to="/tenants" replace />
      </Route>
      <Route path="/tenants">
        <TenantsPage />
      </Route>
      <Route path="/tenants/:tenant">{({ tenant }) => <TenantPage key={tenant} idOrSlug={tenant} />}</Route>
      <Route path="/moves">
        <MovesPage />
      </Route>
      <Route path="/moves/:id">{({ id }) => <MovePage key={id} id={id} />}</Route>
      <Route path="/clusters">
        <ClustersPage />
      </Route>
      <Route path="/clusters/:id">{({ id }) => <ClusterPage key={id} id={id} />}</Route>
      <Route>
        <NotFoundPage />
      </Route>
    </Switch>
  )
}
