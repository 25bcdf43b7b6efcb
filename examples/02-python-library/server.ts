// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { load } from 'polyloop'
import { createDigitServer, type Digits } from './routes.ts'

const folder = 'examples/02-python-library'
await using digits = await load<Digits>(`python:${folder}/digits.py`, { venv: `${folder}/.venv` })

const server = createDigitServer(digits).listen(Number(process.env.PORT ?? 8080), 'localhost')
await once(server, 'listening')
console.log(`listening on http://localhost:${(server.address() as AddressInfo).port}`)

// Until Ctrl+C. Then the server closes, calls in flight finish, and the guest is unloaded.
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
server.close()
await once(server, 'close')
