// SPDX-License-Identifier: Apache-2.0
// Every source file names its licence, in its first lines.
import type { Source } from '../common/files.ts'

/** What source files end in. */
export const SOURCE_EXTENSIONS: readonly string[] = ['.ts', '.mjs', '.js', '.rs', '.py', '.c', '.h', '.lua']

/** Source files that do not open with an SPDX line; a `#!` line may stand before it. */
export function checkHeaders(files: readonly Source[]): string[] {
  if (files.length === 0) return ['no source files found']
  return files
    .filter(({ text }) => !/^(#!.*\n)?(\/\/|#|--|\/\*) SPDX-License-Identifier: Apache-2\.0/.test(text))
    .map(({ path }) => `${path}: does not open with an SPDX-License-Identifier line`)
}
