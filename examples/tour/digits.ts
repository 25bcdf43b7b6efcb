// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { load } from 'polyloop'
import { createDigitServer, type Digits, type Image } from '../02-python-library/routes.ts'
import { python } from './guests.ts'
import { duration, figure, print, title } from './print.ts'
import { watch } from './ticks.ts'

type Returned<K extends keyof Digits> = ReturnType<Digits[K]>

export async function digits(): Promise<void> {
  title(2, 'scikit-learn, from PyPI, behind a node:http route', '02-python-library')
  const start = performance.now()
  await using guest = await load<Digits>('python:examples/02-python-library/digits.py', python)
  const { library, trained_on, unseen, accuracy } = await guest.about()
  print(
    `   ${library} imported and trained on ${figure(trained_on)} handwritten digits in ${duration(performance.now() - start)}.`,
  )
  print(`   Of ${unseen} that it has not seen it reads ${percent(accuracy)}. Such as:\n`)

  const server = createDigitServer(guest).listen(0, 'localhost')
  await once(server, 'listening')
  try {
    const client = new Client(`http://localhost:${(server.address() as AddressInfo).port}`)
    await read(client, 7)
    await readWhileItWorks(client)
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

/** Speaks HTTP with the service, as a browser would. */
class Client {
  readonly #origin: string

  constructor(origin: string) {
    this.#origin = origin
  }

  get<T>(path: string): Promise<T> {
    return this.#ask(path, {})
  }

  post<T>(path: string, body?: unknown): Promise<T> {
    return this.#ask(path, { method: 'POST', body: JSON.stringify(body) ?? null })
  }

  async #ask<T>(path: string, init: RequestInit): Promise<T> {
    const response = await fetch(`${this.#origin}${path}`, init)
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`)
    return (await response.json()) as T
  }
}

async function read(client: Client, number: number): Promise<void> {
  const image = await client.get<Returned<'sample'>>(`/samples/${number}`)
  const { digit, probabilities } = await client.post<Returned<'predict'>>('/predictions', image)
  const beside = [
    `GET  /samples/${number}`,
    '',
    `POST /predictions    answers ${digit}`,
    '',
    ...probabilities.flatMap((p, of) =>
      p >= 0.03 ? [`     ${of}  ${'#'.repeat(Math.round(p * 20))} ${percent(p)}`] : [],
    ),
  ]
  drawing(image).forEach((row, index) => {
    print(`   ${row}   ${beside[index] ?? ''}`.trimEnd())
  })
}

function drawing({ pixels }: Image): string[] {
  return pixels.map((row) => row.map((pixel) => ' .:+*#@'[Math.floor((pixel * 6) / 16)]?.repeat(2)).join(''))
}

/** Has it train other models, and goes on asking meanwhile. */
async function readWhileItWorks(client: Client): Promise<void> {
  const image = await client.get<Image>('/samples/7')
  let predictions = 0
  let working = true
  const work = watch(client.post<Returned<'cross_validate'>>('/cross-validations'))
  const others = (async () => {
    for (; working; predictions++) await client.post('/predictions', image)
  })()
  const { result, ms, ticks } = await work.finally(() => {
    working = false
  })
  await others
  print(
    `\n   POST /cross-validations    trains ${result.folds} models: ${percent(result.accuracy)} are right, ${duration(ms)}`,
  )
  print(`   Meanwhile ${predictions} predictions were answered, one after another,`)
  print(`   and ${ticks}.`)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}
