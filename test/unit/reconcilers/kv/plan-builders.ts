import { NOT_THERE, type ModifyIndex } from '../../../../src/consul/types.ts';
import type { Owner } from '../../../../src/ownership/owner.ts';
import type { Head, OwnerRecord } from '../../../../src/ownership/record.ts';
import type { DesiredKv } from '../../../../src/reconcilers/kv/desire.ts';
import { planWithinLimits } from '../../../../src/reconcilers/kv/limits.ts';
import type { Seen } from '../../../../src/mirror/key-mirror.ts';
import type { Declarer, KvPlan, ObservedKv, Stranger } from '../../../../src/reconcilers/kv/types.ts';

/** Contents stand for their own fingerprints: planning never looks into either. */
export type Contents = Readonly<Record<string, string>>;

export const REF = { kind: 'ConsulKV', namespace: 'shop', name: 'orders' };
export const RIVAL: Owner = { kind: 'resource', ref: { kind: 'ConsulKV', namespace: 'shop', name: 'rival' } };
export const SETTLED: Head = { uid: 'u-1', generation: 1, epoch: 0, onDelete: 'Delete', phase: 'settled' };

/** Something stands at every key of these, the more to the right the newer. */
export const INDEX = 10 as ModifyIndex;

export interface Situation {
  readonly wish?: Contents;
  readonly record?: Contents | undefined;
  readonly consul?: Contents;
  readonly locked?: readonly string[];
  readonly rivals?: readonly string[];
  readonly prefixRival?: Owner;
  readonly strangers?: readonly Stranger[];
  readonly head?: Partial<Head>;
  readonly desired?: Partial<DesiredKv>;
  readonly policies?: Partial<Declarer>;
  readonly claimsComplete?: boolean;
}

export function aRecord(names: Contents, head: Partial<Head> = {}): OwnerRecord {
  const shard = { index: 5 as ModifyIndex, names: new Map(Object.entries(names)) };
  return { ref: REF, head: { ...SETTLED, ...head }, shards: new Map([[0, shard]]) };
}

export function aStranger(
  key: string,
  more: Partial<Seen & { readonly addressable: boolean }> = {},
): Stranger {
  const { addressable = true, ...seen } = more;
  return { key, addressable, seen: { fingerprint: 'theirs', index: INDEX, session: false, ...seen } };
}

export function observed(situation: Situation): ObservedKv {
  const { record, consul = {}, locked = [], rivals = [], prefixRival, strangers = [] } = situation;
  const isRival = (key: string): Owner | undefined => (rivals.includes(key) ? RIVAL : undefined);
  return {
    record: record && aRecord(record, situation.head),
    strangers,
    claims: { index: NOT_THERE, asOf: 100, complete: situation.claimsComplete ?? true },
    seen: key => {
      const fingerprint = consul[key];
      if (fingerprint === undefined) return { fingerprint: '', index: NOT_THERE, session: false };
      return { fingerprint, index: INDEX, session: locked.includes(key) };
    },
    rival: isRival,
    prefixRival: () => prefixRival,
    rivalBeneath: prefix => {
      const name = rivals.find(rival => rival.startsWith(prefix));
      return name === undefined ? undefined : { name, owner: RIVAL };
    },
  };
}

export function planOf(situation: Situation): KvPlan {
  const { wish = {}, desired = {}, policies = {} } = situation;
  const contents = new Map(
    Object.entries(wish).map(([key, text]) => [key, { value: Buffer.from(text), flags: 0n }]),
  );
  return planWithinLimits(
    { contents, exclusive: undefined, atomic: false, ...desired },
    new Map(Object.entries(wish).map(([key, text]) => [key, fingerprintOf(text)])),
    observed(situation),
    {
      installId: 'install-a',
      ref: REF,
      uid: 'u-1',
      generation: 2,
      epoch: 0,
      onDelete: 'Delete',
      adoptionPolicy: 'IfEqual',
      driftPolicy: 'Correct',
      ...policies,
    },
  );
}

/** Contents stand for themselves, as far as fits: a fingerprint is never longer. */
function fingerprintOf(text: string): string {
  return text.slice(0, 22);
}

/** A plan in one line: what is done to which key, `cause verb key`; or why not. */
export function told(plan: KvPlan): string {
  const drifted =
    'drifted' in plan && plan.drifted.length > 0 ? ` (drifted: ${plan.drifted.join(', ')})` : '';
  if (plan.kind === 'noop') return `nothing${drifted}`;
  if (plan.kind === 'refuse') return `${plan.reason}: ${plan.message}`;
  const changes = plan.changes.map(({ cause, write, name }) => `${cause} ${write.verb} ${name}`);
  return `${changes.join(', ') || 'record only'}${drifted}`;
}
