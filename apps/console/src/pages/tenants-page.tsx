import { Button } from '@mantine/core'
import { useDebouncedCallback, useDisclosure } from '@mantine/hooks'
import { IconPlus } from '@tabler/icons-react'
import { useState } from 'react'
import { useSearchParams } from 'wouter'
import { useTenants } from '../api/use-tenants.ts'
import { Page } from '../components/page.tsx'
import { Pager } from '../components/pager.tsx'
import { ProblemAlert } from '../components/problem-alert.tsx'
import { RowsSkeleton } from '../components/rows-skeleton.tsx'
import { SearchField } from '../components/search-field.tsx'
import { Surface } from '../components/surface.tsx'
import { usePages } from '../components/use-pages.ts'
import { useMayChange } from '../session/operator-context.ts'
import { CreateTenantDialog } from '../tenant/create-tenant-dialog.tsx'
import { NoTenants } from '../tenant/no-tenants.tsx'
import { TenantsTable } from '../tenant/tenants-table.tsx'

const DEBOUNCE_MILLISECONDS = 200

export function TenantsPage() {
  const mayChange = useMayChange()
  const [creating, { open, close }] = useDisclosure()
  const { typed, search, type } = useSearch()
  const pages = usePages(search)
  const tenants = useTenants({ search, cursor: pages.cursor })
  return (
    <Page
      title="Tenants"
      actions={
        <>
          <SearchField label="Search tenants" value={typed} onChange={type} />
          {mayChange && (
            <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>
              Create tenant
            </Button>
          )}
        </>
      }
    >
      {tenants.isError && <ProblemAlert error={tenants.error} />}
      {tenants.isPending && (
        <Surface>
          <RowsSkeleton rows={8} />
        </Surface>
      )}
      {tenants.data !== undefined && (
        <Surface>
          {tenants.data.items.length === 0 ? (
            <NoTenants search={search} />
          ) : (
            <TenantsTable tenants={tenants.data.items} />
          )}
          <Pager pages={pages} nextCursor={tenants.data.nextCursor} name="tenants" />
        </Surface>
      )}
      {mayChange && <CreateTenantDialog opened={creating} onClose={close} />}
    </Page>
  )
}

/** What is typed, and, a moment after the last key, what is searched for; the address remembers the latter. */
function useSearch() {
  const [parameters, setParameters] = useSearchParams()
  const search = parameters.get('search') ?? ''
  const [typed, setTyped] = useState(search)
  const commit = useDebouncedCallback((text: string) => {
    setParameters(text === '' ? {} : { search: text }, { replace: true })
  }, DEBOUNCE_MILLISECONDS)
  const type = (text: string) => {
    setTyped(text)
    commit(text.trim())
  }
  return { typed, search, type }
}
