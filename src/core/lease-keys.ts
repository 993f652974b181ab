import type { ResourceRef } from './resource.ts';

/**
 * Where the locks of a lease are. One holder: the key itself. More: `<key>/0` to `<key>/N-1`, one lock each, so that
 * N hold one and nobody can be the N+1st.
 *
 * So many that the keys of all slots, and the one key that a lease with one holder has, fit into one owner record
 * without shards, also while `holders` changes.
 */
export const MAX_HOLDERS = 32;

/** What a key gets behind it with more than one holder: `/31`. */
export const MAX_SLOT_SUFFIX_BYTES = `/${MAX_HOLDERS - 1}`.length;

/** The key of a lease whose spec names none. Under the operator's own prefix, where no other resource can declare one. */
export function defaultLeaseKey(installId: string, namespace: string, name: string): string {
  return `proconsul/${installId}/leases/${namespace}/${name}`;
}

/** The keys of all slots, in order. */
export function slotKeys(key: string, holders: number): string[] {
  return holders === 1 ? [key] : Array.from({ length: holders }, (_, slot) => `${key}/${slot}`);
}

/** Whether `candidate` is the key of a slot that a lease at `key` has, or could have with another number of holders. */
export function isSlotKey(key: string, candidate: string): boolean {
  if (candidate === key) return true;
  if (!candidate.startsWith(`${key}/`)) return false;
  const number = candidate.slice(key.length + 1);
  return SLOT_NUMBER.test(number) && Number(number) < MAX_HOLDERS;
}

/** Whether `key` is that of a slot of this resource where no key is declared: under the operator's prefix, and its own. */
export function isDefaultSlotKey(installId: string, owner: ResourceRef, key: string): boolean {
  const { kind, namespace, name } = owner;
  return kind === 'ConsulLeaderLease' && isSlotKey(defaultLeaseKey(installId, namespace, name), key);
}

/** As `slotKeys` writes it: any other spelling is another key. */
const SLOT_NUMBER = /^(?:0|[1-9][0-9]?)$/;
