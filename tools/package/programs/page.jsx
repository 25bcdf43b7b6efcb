// SPDX-License-Identifier: Apache-2.0
import { load } from 'polyloop'
export const dynamic = 'force-dynamic'
export default async function Page() {
  const guest = await load(process.env.GUEST, { placement: 'process' })
  return <p>{await guest.shout('page')}</p>
}
