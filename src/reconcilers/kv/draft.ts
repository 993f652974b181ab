import type { WriteOperation } from '../../commit/operations.ts';
import type { Content } from '../../ownership/fingerprint.ts';
import { type RecordContext, type RecordDraft, recordDrafter } from '../../ownership/record-draft.ts';
import type { KvChanges, NameChange } from './types.ts';

export interface CutContext extends RecordContext {
  /** What is to be written at a name. */
  readonly content: (name: string) => Content;
}

/** One transaction: the record's part of it, and the keys'. */
export interface Cut extends RecordDraft {
  /** Changes whose keys are written by these operations. */
  readonly done: readonly NameChange[];
}

/** Some of a change, with the head that belongs to it. */
export type Part = Pick<KvChanges, 'changes' | 'head'>;
export type Draft = (part: Part) => Cut;

/** Drafts parts of one change: an operation on a key shares its transaction with the record that lists it. */
export function drafter(all: readonly NameChange[], context: CutContext): Draft {
  const draftRecord = recordDrafter(all, context);
  return ({ changes, head }) => {
    const adopts = changes.some(({ cause }) => cause === 'adopt');
    const record = draftRecord({ edits: changes, head, adopts });
    const operations = [...record.operations, ...changes.flatMap(change => dataOperation(change, context))];
    return { ...record, operations, done: changes.filter(({ write }) => write.verb !== 'none') };
  };
}

function dataOperation({ name, write }: NameChange, { content }: CutContext): WriteOperation[] {
  const realm = 'data' as const;
  switch (write.verb) {
    case 'none':
      return [];
    case 'put':
      return [{ realm, verb: 'cas', key: name, ...content(name), index: write.index }];
    case 'delete':
      return [{ realm, verb: 'delete-cas', key: name, index: write.index }];
    case 'check':
      return [{ realm, verb: 'check-index', key: name, index: write.index }];
  }
}
