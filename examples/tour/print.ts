// SPDX-License-Identifier: Apache-2.0

export function print(line = ''): void {
  process.stdout.write(`${line}\n`)
}

export function title(number: number, text: string, folder?: string): void {
  print(`\n${number}  ${text}${folder === undefined ? '' : ` (examples/${folder})`}\n`)
}

/** `1,234` or `3.2`: no more digits than one wants to read. */
export function figure(value: number): string {
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** `350 ms` or `1.2 s`. */
export function duration(ms: number): string {
  return ms < 1000 ? `${figure(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}
