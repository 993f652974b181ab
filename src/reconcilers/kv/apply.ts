import { placeOf } from '../../commit/operations.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import { type ModifyIndex, NOT_THERE } from '../../consul/types.ts';
import type { ResourceRef } from '../../core/resource.ts';
import { ABSENT, type KeyMirror } from '../../mirror/key-mirror.ts';
import type { Content } from '../../ownership/fingerprint.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import { commitRecord, isUnwritten, type RecordOutcome } from '../../ownership/record-commit.ts';
import type { Receipt } from '../../runtime/kind.ts';
import type { Cut } from './draft.ts';
import type { KvObservation, KvSubject } from './observe.ts';
import { receiptFor } from './report.ts';
import type { KvChanges, NameChange } from './types.ts';
import { cutUnit } from './units.ts';

export interface ApplierOptions {
  readonly installId: string;
  readonly gate: WriteGate;
  readonly ledger: Ledger;
  readonly mirror: KeyMirror;
}

/** Commits the next transaction of a change, and remembers what came of it. */
export class KvApplier {
  readonly #options: ApplierOptions;

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /**
   * `refused`: nothing was written. What Consul named as stale is dropped from memory, so that the next look reads
   * that and no more.
   *
   * @throws RetryableError `ConsulDenied` when the token may not write one of the keys; others as `WriteGate.commit`.
   */
  async apply(subject: KvSubject, change: KvChanges, observed: KvObservation): Promise<Receipt> {
    const { mirror } = this.#options;
    const { ref, deleting } = subject;
    const cut = this.#cut(ref, change, observed);
    const begunAt = mirror.begin();
    const outcome = await this.#commit(ref, cut);
    if (outcome.kind === 'refused') {
      mirror.doubt(
        outcome.operations.flatMap(({ operation }) => (operation.realm === 'data' ? [operation.key] : [])),
      );
      return { kind: 'refused' };
    }
    for (const written of cut.done) this.#wrote(written, begunAt, outcome.indexes);
    return receiptFor(change, cut.done, observed.facts.record === undefined, deleting);
  }

  #cut(ref: ResourceRef, change: KvChanges, { desire, facts }: KvObservation): Cut {
    const { record, claims } = facts;
    const contents = desire?.kind === 'desired' ? desire.desired.contents : undefined;
    return cutUnit(change, {
      installId: this.#options.installId,
      ref,
      record,
      content: name => contents?.get(name) as Content,
      claimsIndex: claims.complete ? claims.index : undefined,
    });
  }

  async #commit(ref: ResourceRef, cut: Cut): Promise<RecordOutcome> {
    try {
      return await commitRecord(this.#options, { ref, ...cut });
    } catch (error) {
      // Committed or not: nothing that is remembered can be trusted until it was read again.
      if (!isUnwritten(error)) this.#options.mirror.forget(cut.operations.map(placeOf));
      throw error;
    }
  }

  #wrote({ name, to, write }: NameChange, begunAt: number, indexes: ReadonlyMap<string, ModifyIndex>): void {
    const { mirror } = this.#options;
    if (write.verb === 'none' || write.verb === 'check') return;
    const own = { begunAt, replaced: write.index };
    if (write.verb === 'delete' || to === undefined) return mirror.wrote(name, ABSENT, own);
    const session = mirror.seen(name)?.session ?? false;
    mirror.wrote(name, { fingerprint: to, index: indexes.get(name) ?? NOT_THERE, session }, own);
  }
}
