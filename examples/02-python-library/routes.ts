// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { json } from 'node:stream/consumers'
import { PolyloopError, type Runtime } from 'polyloop'

/** An image of 8 rows of 8 pixels, 0 (white) to 16 (black). */
export interface Image {
  pixels: number[][]
}

/** The functions of digits.py. */
export interface Digits {
  about(): { library: string; trained_on: number; unseen: number; accuracy: number }
  sample(number: number): Image & { digit: number }
  predict(image: Image): { digit: number; probabilities: number[] }
  cross_validate(folds: number): { folds: number; accuracy: number }
}

/** A web service around the model. */
export function createDigitServer(digits: Runtime<Digits>): Server {
  return createServer((request, response) => {
    const send = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
    }
    answer(digits, request).then(
      (body) => (body === undefined ? send(404, { error: 'there is nothing here' }) : send(200, body)),
      (error: unknown) => {
        const { status, message } = refusal(error)
        send(status, { error: message })
      },
    )
  })
}

async function answer(digits: Runtime<Digits>, request: IncomingMessage): Promise<unknown> {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost')
  const [, number] = /^\/samples\/(\d+)$/.exec(pathname) ?? []
  if (request.method === 'GET' && pathname === '/') return digits.about()
  if (request.method === 'GET' && number !== undefined) return digits.sample(Number(number))
  if (request.method === 'POST' && pathname === '/predictions') return digits.predict((await json(request)) as Image)
  // Seconds of work on a thread of the guest's: the other routes answer all the while.
  if (request.method === 'POST' && pathname === '/cross-validations') return digits.cross_validate(3)
  return undefined
}

/** An error that digits.py raised with a code is the client's mistake, and its `rc` is the status. So is a body that is not JSON. */
function refusal(error: unknown): { status: number; message: string } {
  if (error instanceof SyntaxError) return { status: 400, message: error.message }
  if (error instanceof PolyloopError && error.guest?.code !== undefined) {
    return { status: error.rc ?? 500, message: error.guest.message }
  }
  console.error(error)
  return { status: 500, message: 'it broke' }
}
