import { fitsAlone, unitSize } from '../../commit/unit-size.ts';
import { MAX_TXN_OPERATIONS } from '../../consul/txn.ts';
import { type RecordContext, type RecordDraft, recordDrafter } from '../../ownership/record-draft.ts';
import type { Head, OwnerRecord } from '../../ownership/record.ts';
import type { InstanceChange, ServiceChange } from './types.ts';

/** One transaction of a commit: the record's part of it, and the instances'. */
export interface ServiceCut extends RecordDraft {
  /** What is done when it is committed. */
  readonly done: readonly InstanceChange[];
}

type Commit = Extract<ServiceChange, { step: 'commit' }>;

/**
 * Cuts a commit into transactions, one at a time: the next one is planned from what the last one left, so a crash between any
 * two is a state to go on from like any other.
 *
 * ```
 * all fits      [head, shards, instances]                                       one transaction
 * else          [head claiming, shards of some instances, those instances] …     in the order of the commit
 * last          [head, what is left]
 * ```
 *
 * A name shares its transaction with the shard that lists it. What is health alone leaves the record as it is.
 */
export function cutCommit(change: Commit, context: RecordContext): ServiceCut {
  const { instances, head, adopts } = change;
  const draftRecord = recordDrafter(instances.flatMap(editsOf), context);
  const draft = (part: readonly InstanceChange[]): ServiceCut => {
    const isWhole = part.length === instances.length;
    const after = isWhole ? head : headBetween(change, context.record);
    const record = draftRecord({ edits: part.flatMap(editsOf), head: after, adopts });
    const operations = [...record.operations, ...part.flatMap(({ operations }) => operations)];
    return { ...record, operations, done: part };
  };
  return largestFitting(instances, draft);
}

function editsOf({ name, record }: InstanceChange): { name: string; to: string | undefined }[] {
  return record === undefined ? [] : [{ name, to: record.to }];
}

/** The head while only some of a commit is done. */
function headBetween({ instances, head }: Commit, record: OwnerRecord | undefined): Head | undefined {
  const isRecordLeft = instances.every(one => one.record === undefined);
  if (isRecordLeft && record !== undefined) return record.head;
  const wanted = head ?? record?.head;
  return wanted && { ...wanted, phase: 'claiming' };
}

/** As many of them, from the first, as one transaction carries, and at least one. */
function largestFitting(
  instances: readonly InstanceChange[],
  draft: (part: readonly InstanceChange[]) => ServiceCut,
): ServiceCut {
  const most = mostByCount(instances);
  if (most === instances.length) {
    const whole = draft(instances);
    if (fits(whole)) return whole;
  }
  let [low, high] = [1, most];
  let fitting = draft(instances.slice(0, low));
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const tried = draft(instances.slice(0, middle));
    if (fits(tried)) {
      fitting = tried;
      low = middle;
    } else high = middle - 1;
  }
  return fitting;
}

/** How many there can be by their operations alone, so that thousands are not encoded to find that out. */
function mostByCount(instances: readonly InstanceChange[]): number {
  let operations = 0;
  const over = instances.findIndex(one => (operations += one.operations.length) > MAX_TXN_OPERATIONS);
  return over === -1 ? instances.length : Math.max(1, over);
}

function fits({ operations }: ServiceCut): boolean {
  return fitsAlone(unitSize(operations));
}
