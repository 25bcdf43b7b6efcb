// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Program, start } from '../testing/run.ts'
import type { Digits } from './routes.ts'

type Returned<K extends keyof Digits> = ReturnType<Digits[K]>

describe('the service that reads digits', () => {
  let program: Program
  let origin: string
  beforeAll(async () => {
    program = start('02-python-library/server.js', [], { PORT: '0' })
    origin = await program.said('listening on ')
  })
  afterAll(async () => {
    program.interrupt()
    expect(await program.finished).toMatchObject({ ended: 0, stderr: '' })
  })

  async function ask<T>(path: string, body?: string): Promise<{ status: number; body: T }> {
    const response = await fetch(origin + path, body === undefined ? {} : { method: 'POST', body })
    return { status: response.status, body: (await response.json()) as T }
  }

  it('has trained its model before it listens', async () => {
    const { body } = await ask<Returned<'about'>>('/')
    expect(body.library).toMatch(/^scikit-learn 1\.\d+\.\d+$/)
    expect(body).toMatchObject({ trained_on: 1347, unseen: 450 })
    expect(body.accuracy).toBeGreaterThan(0.95)
  })

  it('reads digits that it has not seen, with ten probabilities', async () => {
    let right = 0
    for (let number = 0; number < 20; number++) {
      const { body: sample } = await ask<Returned<'sample'>>(`/samples/${number}`)
      const { body } = await ask<Returned<'predict'>>('/predictions', JSON.stringify(sample))
      expect(body.probabilities).toHaveLength(10)
      expect(body.probabilities.reduce((sum, p) => sum + p)).toBeCloseTo(1)
      expect(body.probabilities[body.digit]).toBe(Math.max(...body.probabilities))
      if (body.digit === sample.digit) right++
    }
    expect(right).toBeGreaterThanOrEqual(18)
  })

  it('answers predictions while it trains other models', async () => {
    const { body: sample } = await ask<Returned<'sample'>>('/samples/7')
    let trained = false
    const training = ask<Returned<'cross_validate'>>('/cross-validations', '').then((it) => {
      trained = true
      return it
    })
    const { body } = await ask<Returned<'predict'>>('/predictions', JSON.stringify(sample))
    expect({ digit: body.digit, trained }).toEqual({ digit: sample.digit, trained: false })
    const { body: validation } = await training
    expect(validation).toMatchObject({ folds: 3, accuracy: expect.closeTo(0.93, 1) })
  })

  it.each([
    ['/samples/450', undefined, 404, 'there are samples 0 to 449'],
    ['/elsewhere', undefined, 404, 'there is nothing here'],
    ['/predictions', '{"pixels":[[1,2]]}', 400, 'an image is {pixels: 8 rows of 8 numbers}'],
    ['/predictions', '{"pixels":', 400, 'JSON'],
  ])('says what is wrong with %s %s', async (path, request, status, message) => {
    const { body, status: answered } = await ask<{ error: string }>(path, request)
    expect(answered).toBe(status)
    expect(body.error).toContain(message)
  })
})
