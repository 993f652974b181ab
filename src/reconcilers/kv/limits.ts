import { fitsAlone, MAX_UNIT_BYTES, type UnitSize, unitSize } from '../../commit/unit-size.ts';
import type { ModifyIndex } from '../../consul/types.ts';
import type { Content } from '../../ownership/fingerprint.ts';
import type { Head } from '../../ownership/record.ts';
import type { DesiredKv } from './desire.ts';
import { planKv } from './plan.ts';
import type { Refusal } from './refusals.ts';
import type { Declarer, KvChanges, KvPlan, NameChange, ObservedKv } from './types.ts';
import { cutUnit } from './units.ts';

/** What `atomic` allows, whatever Consul's limits would. */
const ATOMIC_MAX_KEYS = 110;
const ATOMIC_MAX_BYTES = 350_000;

/** The longest an index, a generation or an epoch is in JSON. */
const LONGEST = Number.MAX_SAFE_INTEGER;
const WAY_OUT = 'shorten keys or values, split the tree over several resources, or set atomic: false';

/**
 * What is to be done, unless `atomic` demands that one transaction does it and no transaction could. The bytes are
 * counted as the choke point counts them, so nothing is found too large only when it is sent.
 */
export function planWithinLimits(
  desired: DesiredKv,
  wishes: ReadonlyMap<string, string>,
  observed: ObservedKv,
  declarer: Declarer,
): KvPlan {
  if (!desired.atomic) return planKv(desired, wishes, observed, declarer);
  const plan = refuseTree(desired, wishes, declarer) ?? planKv(desired, wishes, observed, declarer);
  return plan.kind === 'change' ? (refuseChange(plan, desired, observed, declarer) ?? plan) : plan;
}

/**
 * A tree that no transaction could carry whole. Judged from the wish alone, as if every key were to be written, so
 * that the answer never depends on what stands in Consul.
 */
function refuseTree(
  desired: DesiredKv,
  wishes: ReadonlyMap<string, string>,
  declarer: Declarer,
): Refusal | undefined {
  const count = desired.contents.size;
  let [keyBytes, valueBytes] = [0, 0];
  for (const [key, { value }] of desired.contents) {
    keyBytes += Buffer.byteLength(key);
    valueBytes += value.length;
  }
  const bytes = keyBytes + valueBytes;
  if (count > ATOMIC_MAX_KEYS || bytes > ATOMIC_MAX_BYTES) {
    return tooLarge(
      `atomic allows ${ATOMIC_MAX_KEYS} keys and ${ATOMIC_MAX_BYTES} bytes in one transaction; declared are ${count} keys and ${bytes} bytes: ${WAY_OUT}`,
    );
  }
  const size = largestSize(desired, wishes, declarer);
  if (fitsAlone(size)) return undefined;
  return tooLarge(
    `atomic needs the tree in one transaction of at most ${MAX_UNIT_BYTES} bytes, and it would have ${size.bytes}: ${count} keys of ${keyBytes} bytes, each carried twice, and ${valueBytes} bytes of values, a third more in base64. So ${WAY_OUT}`,
  );
}

/** A change of a tree that is small enough, but not its change: names that go count as well as those that come. */
function refuseChange(
  change: KvChanges,
  desired: DesiredKv,
  { record, claims }: ObservedKv,
  { installId, ref }: Declarer,
): Refusal | undefined {
  const count = change.changes.length;
  if (count > ATOMIC_MAX_KEYS) {
    return tooLarge(
      `the change touches ${count} keys; atomic allows ${ATOMIC_MAX_KEYS}. Change the tree in smaller steps or without atomic`,
    );
  }
  const content = (name: string): Content => desired.contents.get(name) as Content;
  const claimsIndex = claims.complete ? claims.index : undefined;
  const size = unitSize(cutUnit(change, { installId, ref, record, content, claimsIndex }).operations);
  if (fitsAlone(size)) return undefined;
  return tooLarge(
    `atomic needs the change in one transaction of at most ${MAX_UNIT_BYTES} bytes, and it would have ${size.bytes} in ${size.operations} operations. Change the tree in smaller steps or without atomic`,
  );
}

/** Of the transaction that writes every key, with all numbers as long as they can get. */
function largestSize(
  { contents, exclusive }: DesiredKv,
  wishes: ReadonlyMap<string, string>,
  { installId, ref, uid, onDelete }: Declarer,
): UnitSize {
  const index = LONGEST as ModifyIndex;
  const changes: NameChange[] = [...wishes].map(([name, to]) => ({
    name,
    cause: 'adopt',
    to,
    write: { verb: 'put', index },
  }));
  const numbers = { generation: LONGEST, epoch: LONGEST };
  const head: Head = {
    uid,
    onDelete,
    phase: 'settled',
    ...numbers,
    ...(exclusive === undefined ? {} : { exclusive }),
  };
  const content = (name: string): Content => contents.get(name) as Content;
  const { operations } = cutUnit(
    { changes, head, atomic: true },
    { installId, ref, record: undefined, content, claimsIndex: index },
  );
  return unitSize(operations.map(operation => ('index' in operation ? { ...operation, index } : operation)));
}

function tooLarge(message: string): Refusal {
  return { kind: 'refuse', reason: 'TooLarge', message };
}
