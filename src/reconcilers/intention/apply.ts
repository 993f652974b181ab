import type { IntentionEntries } from '../../commit/intention-entries.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import { classifyEntryRefusal, describeDependency } from '../../consul/config-entry-refusals.ts';
import { messageOf, TerminalError } from '../../core/errors.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { DependencyWatch } from '../../mirror/dependency-watch.ts';
import type { IntentionMirror } from '../../mirror/intention-mirror.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import { commitRecord } from '../../ownership/record-commit.ts';
import { type RecordDraft, recordDrafter } from '../../ownership/record-draft.ts';
import type { Receipt } from '../../runtime/kind.ts';
import type { RefusalMemory } from './memory.ts';
import type { IntentionObservation, IntentionSubject } from './observe.ts';
import { receiptFor, summarize } from './report.ts';
import type { IntentionChange } from './types.ts';

export interface IntentionApplierOptions {
  readonly installId: string;
  readonly gate: WriteGate;
  readonly ledger: Ledger;
  readonly intentionEntries: IntentionEntries;
  readonly intentionMirror: IntentionMirror;
  readonly dependencies: DependencyWatch;
  readonly refusals: RefusalMemory;
}

type EntryStep = Extract<IntentionChange, { step: 'entry' }>;
export type RecordStep = Exclude<IntentionChange, EntryStep>;

/** Carries out one step of a plan: a transaction of the owner record, or a write of an entry. */
export class IntentionApplier {
  readonly #options: IntentionApplierOptions;

  constructor(options: IntentionApplierOptions) {
    this.#options = options;
  }

  /** `refused`: nothing was written. @throws as `commitRecord`. */
  async commit(
    { ref, deleting }: IntentionSubject,
    change: RecordStep,
    { facts }: IntentionObservation,
  ): Promise<Receipt> {
    const { installId } = this.#options;
    const { record, claims } = facts;
    const claimsIndex = claims.complete ? claims.index : undefined;
    const draft: RecordDraft = recordDrafter(change.edits, { installId, ref, record, claimsIndex })(
      change.step === 'end' ? { edits: change.edits, head: undefined, adopts: false } : change,
    );
    const { kind } = await commitRecord(this.#options, { ref, ...draft });
    if (kind === 'refused') return { kind };
    if (change.step !== 'claim') this.#waitsNoMore(ref);
    return receiptFor(change, { deleting });
  }

  /**
   * Writes the entry and reads it back; while nobody else in this process writes it. `refused`: it does not stand as it
   * was to, because somebody else was faster or something it needs is missing.
   *
   * @throws TerminalError when the entry cannot be, at once while Consul's last word on that still counts.
   * @throws what `IntentionEntries` throws; RetryableError when it cannot be read back.
   */
  async write(
    subject: IntentionSubject,
    change: EntryStep,
    { entries, signal }: IntentionObservation,
  ): Promise<Receipt> {
    const { intentionMirror, refusals } = this.#options;
    const { ref, deleting } = subject;
    const known = refusals.of(ref, generationOf(subject));
    if (known?.kind === 'never') throw known.error;
    const { destination, body } = change;
    const before = entries.get(destination);
    // Usually it is; what a namesake left behind elsewhere is not.
    intentionMirror.track(ref, destination);
    try {
      const send = () => this.#send(subject, body, before);
      const { asSent } = await intentionMirror.write(destination, { writer: ref, sent: body, send, signal });
      if (!asSent) return { kind: 'refused' };
    } catch (error) {
      this.#heed(subject, error);
      return { kind: 'refused' };
    }
    this.#waitsNoMore(ref);
    return receiptFor(change, { deleting });
  }

  /** Not before it has what it wants: the watch remembers of which state of the others it has told. */
  #waitsNoMore(ref: ResourceRef): void {
    this.#options.refusals.forget(ref);
    this.#options.dependencies.release(ref);
  }

  #send(
    { ref }: IntentionSubject,
    body: EntryStep['body'],
    before: ReturnType<IntentionObservation['entries']['get']>,
  ): Promise<{ readonly applied: boolean }> {
    const { intentionEntries } = this.#options;
    if (body !== undefined) return intentionEntries.put(ref, { before, body });
    return before === undefined ? Promise.resolve({ applied: true }) : intentionEntries.remove(ref, before);
  }

  /** What another object can put right is waited for. @throws the error, if it is something else. */
  #heed(subject: IntentionSubject, error: unknown): void {
    const { refusals, dependencies } = this.#options;
    const { ref } = subject;
    const generation = generationOf(subject);
    const refusal = classifyEntryRefusal(error);
    if (refusal?.kind === 'dependency') {
      const { missing } = refusal;
      const told = missing.length > 0 ? missing.map(describeDependency) : [messageOf(error)];
      refusals.note(ref, { kind: 'dependency', generation, missing, told });
      dependencies.await(ref, missing);
      return;
    }
    if (error instanceof TerminalError && error.reason !== 'DryRun') {
      refusals.note(ref, { kind: 'never', generation, error });
    }
    throw error;
  }
}

function generationOf({ resource }: IntentionSubject): number {
  return resource?.metadata.generation ?? 0;
}

/** What the step is about, for a dry run: the record is its first, and what that announces comes next. */
export function describeChange(change: IntentionChange): string {
  if (change.step === 'entry') return summarize(change.edits);
  const verbOf = (cause: (typeof change.edits)[number]['cause']) => {
    if (change.step !== 'claim') return 'none';
    return cause === 'remove' ? 'remove' : 'put';
  };
  return summarize(change.edits.map(({ name, cause }) => ({ name, cause, verb: verbOf(cause) })));
}
