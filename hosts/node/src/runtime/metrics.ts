// SPDX-License-Identifier: Apache-2.0
import type { Histogram } from '../observe/histogram.ts'
import { runtimes } from './registry.ts'
import type { RuntimeCore } from './runtime.ts'

/** Upper ends of the buckets: 2 to these powers, in nanoseconds; from a microsecond to 17 seconds. */
const powers = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34]

type Sample = readonly [labels: string, value: number, suffix?: string]

interface Family {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  samples(core: RuntimeCore, labels: string): Sample[]
}

const families: readonly Family[] = [
  counter('calls_total', 'Calls submitted.', ({ counters }) => counters.calls),
  {
    name: 'polyloop_errors_total',
    type: 'counter',
    help: 'Calls rejected or refused.',
    samples: ({ dispatcher }, labels) =>
      Object.entries(dispatcher.counters.errors).map(([code, count]) => [`${labels},code="${code}"`, count]),
  },
  counter('late_total', 'Responses that came after their call was given up.', ({ counters }) => counters.late),
  counter('request_bytes_total', 'Bytes of requests.', ({ counters }) => counters.requestBytes),
  counter('response_bytes_total', 'Bytes of responses.', ({ counters }) => counters.responseBytes),
  gauge('calls_in_flight', 'Calls submitted and not answered.', ({ admission }) => admission.calls),
  gauge('calls_queued', 'Calls that wait because of maxCalls or maxBytes.', ({ admission }) => admission.waiting),
  gauge('bytes_in_flight', 'Bytes of the requests in flight.', ({ admission }) => admission.bytes),
  histogram('waiting', 'until a guest thread took it', ({ counters }) => counters.waiting),
  histogram('running', 'from then until it settled', ({ counters }) => counters.running),
]

type Of = RuntimeCore['dispatcher']

function counter(name: string, help: string, value: (dispatcher: Of) => number): Family {
  return {
    name: `polyloop_${name}`,
    type: 'counter',
    help,
    samples: ({ dispatcher }, labels) => [[labels, value(dispatcher)]],
  }
}

function gauge(name: string, help: string, value: (dispatcher: Of) => number): Family {
  return { ...counter(name, help, value), type: 'gauge' }
}

function histogram(name: string, help: string, of: (dispatcher: Of) => Histogram): Family {
  return {
    name: `polyloop_call_${name}_seconds`,
    type: 'histogram',
    help: `Time of a sampled call ${help}.`,
    samples: ({ dispatcher }, labels) => buckets(of(dispatcher), labels),
  }
}

function buckets(times: Histogram, labels: string): Sample[] {
  const bucket = (end: string, count: number): Sample => [`${labels},le="${end}"`, count, '_bucket']
  return [
    ...powers.map((power) => bucket(String(2 ** power / 1e9), times.below(power))),
    bucket('+Inf', times.count),
    [labels, times.sum / 1e9, '_sum'],
    [labels, times.count, '_count'],
  ]
}

function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (letter) => (letter === '\n' ? '\\n' : `\\${letter}`))
}

/**
 * What is counted of all runtimes of this thread, in the text format of Prometheus.
 *
 * @example
 * createServer((_, response) => response.end(metrics())).listen(9464)
 */
export function metrics(): string {
  const cores = runtimes()
  const lines = families.flatMap(({ name, type, help, samples }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...cores.flatMap((core) =>
      samples(core, `runtime="${escaped(core.name)}",id="${core.id}"`).map(
        ([labels, value, suffix = '']) => `${name}${suffix}{${labels}} ${value}`,
      ),
    ),
  ])
  return `${lines.join('\n')}\n`
}
