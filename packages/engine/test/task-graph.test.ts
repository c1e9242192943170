import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Task, TaskGraph } from '../src/copy/task-graph.ts'

/** Tasks that write down when they begin and end. */
function recordedTasks() {
  const log: string[] = []
  const task = (name: string, after: readonly Task<number>[] = [], alone: readonly string[] = []) => ({
    after,
    alone,
    run: async () => {
      log.push(`${name} begins`)
      await sleep(5)
      log.push(`${name} ends`)
    },
  })
  return { log, task }
}

const never = new AbortController().signal

t.test('a task begins when all have ended that it comes after', async (t) => {
  const { log, task } = recordedTasks()
  const first = task('first')
  const second = task('second')
  const graph = new TaskGraph([task('last', [first, second]), first, second])
  await Promise.all([graph.work(1, never), graph.work(2, never)])
  t.same(
    log.slice(0, 2),
    ['first begins', 'second begins'],
    'those that wait for nothing run beside each other',
  )
  t.same(log.slice(-2), ['last begins', 'last ends'])
})

t.test('tasks that want the same for themselves take turns', async (t) => {
  const { log, task } = recordedTasks()
  const graph = new TaskGraph([task('one', [], ['table', 'a']), task('two', [], ['b', 'table'])])
  await Promise.all([graph.work(1, never), graph.work(2, never)])
  t.same(log, ['one begins', 'one ends', 'two begins', 'two ends'])
})

t.test('a stream that waits stops when it is told to', async (t) => {
  const stop = new AbortController()
  const { task } = recordedTasks()
  const failing = {
    after: [],
    alone: [],
    run: () => sleep(5).then(() => Promise.reject(new Error('broken'))),
  }
  const graph = new TaskGraph<number>([failing, task('later', [failing])])
  const one = graph.work(1, stop.signal).catch((error: unknown) => {
    stop.abort(error)
    throw error
  })
  const two = graph.work(2, stop.signal)
  await t.rejects(one, { message: 'broken' })
  await t.rejects(two, { message: 'broken' })
})

t.test('tasks that wait for each other are a defect, and are not waited for', async (t) => {
  const { task } = recordedTasks()
  const elsewhere = task('elsewhere')
  await t.rejects(new TaskGraph([task('one', [elsewhere])]).work(1, never), {
    message: /wait for each other/,
  })
})
