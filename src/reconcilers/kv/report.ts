import type { EventReason } from '../../api/v1alpha1/common.ts';
import { named } from '../../core/named.ts';
import type { Receipt } from '../../runtime/kind.ts';
import type { Cause, KvChanges, NameChange, Stranger } from './types.ts';

/** What one transaction did, as its Event tells it. Names only: a value may come from a Secret. */
export function receiptFor(
  change: KvChanges,
  done: readonly NameChange[],
  isFirst: boolean,
  deleting: boolean,
): Receipt {
  const corrections = done.filter(({ cause }) => cause === 'correct' || cause === 'stranger');
  const event = eventFor(change, isFirst, deleting);
  const note = deleting ? noteForDeletion(done) : summarize(done.length > 0 ? done : change.changes);
  return { kind: 'applied', event, note, corrected: corrections.length };
}

/** The strongest thing to say about a change: taking over, then a first write, then repair, then the usual. */
function eventFor({ changes }: KvChanges, isFirst: boolean, deleting: boolean): EventReason {
  const has = (cause: Cause): boolean => changes.some(change => change.cause === cause);
  if (deleting) return 'Deleted';
  if (has('adopt')) return 'Adopted';
  if (isFirst) return 'Created';
  if (has('correct') || has('stranger')) return 'DriftCorrected';
  return 'Updated';
}

function noteForDeletion(done: readonly NameChange[]): string {
  return done.length === 0
    ? 'let go of what the resource owned; nothing was removed'
    : `removed ${list(done)}`;
}

/** What Ready says of a resource that equals its spec, and which strangers stay because they must not be removed. */
export function readyMessage(declared: number, strangers: readonly Stranger[]): string {
  const equal =
    declared === 1 ? '1 key in Consul equals the spec' : `${declared} keys in Consul equal the spec`;
  const kept = strangers.filter(({ addressable, seen }) => !addressable || seen.session);
  if (kept.length === 0) return equal;
  return `${equal}; not removed, for a lock is held there or it cannot be addressed safely: ${named(kept.map(({ key }) => key))}`;
}

/** `write a, b; delete c`: what a change does to keys. */
export function summarize(changes: readonly NameChange[]): string {
  const written = changes.filter(({ write }) => write.verb === 'put');
  const adopted = changes.filter(({ write }) => write.verb === 'check');
  const removed = changes.filter(({ write }) => write.verb === 'delete');
  const parts = [
    ...(written.length > 0 ? [`write ${list(written)}`] : []),
    ...(adopted.length > 0 ? [`take over ${list(adopted)}`] : []),
    ...(removed.length > 0 ? [`delete ${list(removed)}`] : []),
  ];
  return parts.length > 0 ? parts.join('; ') : 'update the owner record';
}

function list(changes: readonly NameChange[]): string {
  return named(changes.map(({ name }) => name));
}
