import { serveObject } from '../../../test/kit/object-in-process.ts'
import { localTraffic } from './local-traffic.ts'

// Clients and routers in a process of their own: what the engine is busy with does not show in what they measure.
serveObject(localTraffic())
