// SPDX-License-Identifier: Apache-2.0
import type { PolyloopError } from './errors.ts'

/** What happens to an instance of a runtime. */
export interface RuntimeEvent {
  /**
   * `starting`; `ready`: it takes calls; `crashed`: it died, and its calls were rejected; `restarted`: one in its place
   * takes calls; `gave-up`: it died too often, and none comes in its place; `hung`: no heartbeat came in
   * time, or its start was not over in time;
   * `reloaded`: all instances have the new code, whichever host did it; `reload-failed`: the new
   * code does not start, the old one goes on
   */
  readonly type: 'starting' | 'ready' | 'crashed' | 'restarted' | 'gave-up' | 'hung' | 'reloaded' | 'reload-failed'
  /** Which of the runtime's instances, from 0. */
  readonly instance: number
  /** Its process, if it has one of its own. */
  readonly pid?: number | undefined
  readonly error?: PolyloopError
}
