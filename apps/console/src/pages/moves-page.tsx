import { MoveList } from '../components/move-list.tsx'
import { Page } from '../components/page.tsx'

export function MovesPage() {
  return (
    <Page title="Moves">
      <MoveList
        title="Running"
        name="Running moves"
        filter={{ active: true }}
        empty={{
          title: 'Nothing is being moved',
          text: 'A move starts on the page of a tenant, with Promote.',
        }}
      />
      <MoveList
        title="Finished"
        name="Finished moves"
        filter={{ active: false }}
        empty={{ title: 'Nothing has been moved yet', text: 'Moves stay here after they have ended.' }}
      />
    </Page>
  )
}
