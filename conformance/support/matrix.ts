// SPDX-License-Identifier: Apache-2.0
// Prints the matrix at the end of a run of vitest: what each language was shown to do in each placement.
import type { TestCase, TestModule, TestProject } from 'vitest/node'
import { type Outcome, render } from './table.ts'

/** vitest calls it before the run, and what it returns after it. */
export function setup(project: TestProject): () => void {
  return () => {
    const outcomes = project.vitest.state.getTestModules().flatMap(outcomesOf)
    if (outcomes.length > 0) console.log(render(outcomes))
  }
}

/** What became of the cells of one file. */
function outcomesOf(module: TestModule): Outcome[] {
  const tests = [...module.children.allTests()]
  return tests
    .flatMap((test) => test.meta().planned ?? [])
    .map((planned) => {
      const own = tests.filter((test) => isOf(test, planned))
      const passed = own.filter((test) => test.result().state === 'passed').length
      // What was not run, because its guest could not be loaded, has not passed.
      return { ...planned, passed, failed: planned.cases - passed, cannot: planned.cannot.length }
    })
}

function isOf(test: TestCase, wanted: Pick<Outcome, 'column' | 'language' | 'placement'>): boolean {
  const { cell } = test.meta()
  return cell?.column === wanted.column && cell.language === wanted.language && cell.placement === wanted.placement
}
