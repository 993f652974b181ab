import { fitsAlone, unitSize } from '../../commit/unit-size.ts';
import { type Head, isSameHead, locateNames, type OwnerRecord, UNWRITTEN } from '../../ownership/record.ts';
import { type Cut, type CutContext, type Draft, drafter, type Part } from './draft.ts';
import type { KvChanges, NameChange } from './types.ts';

/**
 * Cuts a change into transactions, one at a time: the next one is planned from what the last one left, so a crash
 * between any two is a state to go on from like any other.
 *
 * ```
 * all fits          [head settled, shards, keys]                                       one transaction
 * else, first       [head unchanged, shards without what is only let go of] …
 * then              [head claiming, shards listing the new names] …                    every name is claimed
 * then              [head unchanged, shard fingerprints, keys written] …               additions and updates
 * then              [head unchanged, shards without the names, keys removed] …         removals
 * last              [head settled, what is left]
 * ```
 */
/** @returns the whole change, if it fits or must be atomic; else the next part of it. */
export function cutUnit(change: KvChanges, context: CutContext): Cut {
  const draft = drafter(change.changes, context);
  const whole = draft(change);
  return change.atomic || fits(whole) ? whole : chunk(nextPart(change, context.record), draft);
}

/** The part of a too large change that comes next, itself perhaps too large; see the table above. */
function nextPart({ changes, head }: Part, record: OwnerRecord | undefined): Part {
  if (head === undefined) return { changes, head: record && { ...record.head, phase: 'claiming' } };
  const letGo = changes.filter(({ to, write }) => to === undefined && write.verb === 'none');
  if (record !== undefined && letGo.length > 0) return { changes: letGo, head: record.head };
  const claiming = claimingHead(head, record?.head);
  const listed = record === undefined ? new Map<string, number>() : locateNames(record);
  const unlisted = changes.filter(({ name, to }) => to !== undefined && !listed.has(name));
  if (record === undefined || unlisted.length > 0 || !isSameHead(record.head, claiming)) {
    return { changes: unlisted.map(asClaim), head: claiming };
  }
  const puts = changes.filter(({ to }) => to !== undefined);
  return { changes: puts.length > 0 ? puts : changes, head: record.head };
}

function claimingHead(wanted: Head, present: Head | undefined): Head {
  const isFirstClaim = wanted.exclusive !== undefined && present?.exclusive !== wanted.exclusive;
  const claiming: Head = { ...wanted, phase: 'claiming' };
  return isFirstClaim || present?.clearing === true ? { ...claiming, clearing: true } : claiming;
}

/** The first half of a change: the name is listed, the key is not yet touched. */
function asClaim(change: NameChange): NameChange {
  return { ...change, to: UNWRITTEN, write: { verb: 'none' } };
}

/** As many of the part's changes as one transaction carries, and at least one. */
function chunk({ changes, head }: Part, draft: Draft): Cut {
  let fitting = draft({ changes: changes.slice(0, 1), head });
  let [low, high] = [1, changes.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const tried = draft({ changes: changes.slice(0, middle), head });
    if (fits(tried)) {
      fitting = tried;
      low = middle;
    } else high = middle - 1;
  }
  return fitting;
}

function fits({ operations }: Cut): boolean {
  return fitsAlone(unitSize(operations));
}
