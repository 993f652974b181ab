import {
  CLAIMS_KEY,
  type RefusedOperation,
  type UnitOutcome,
  type WriteOperation,
} from '../../commit/operations.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import { type ModifyIndex, NOT_THERE } from '../../consul/types.ts';
import { ConflictError, RetryableError, TerminalError } from '../../core/errors.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { Content } from '../../ownership/fingerprint.ts';
import type { ClaimsView, Ledger } from '../../ownership/ledger.ts';
import type { Receipt } from '../../runtime/kind.ts';
import { ABSENT, type KeyMirror } from '../../mirror/key-mirror.ts';
import type { KvObservation, KvSubject } from './observe.ts';
import { receiptFor } from './report.ts';
import type { KvChanges, NameChange } from './types.ts';
import type { Cut } from './draft.ts';
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
    const { ledger, mirror } = this.#options;
    const { ref, deleting } = subject;
    const { record, claims } = observed.facts;
    const cut = this.#cut(ref, change, observed);
    if (!ledger.reserve(ref, cut.claim)) return { kind: 'refused' };
    const begunAt = mirror.begin();
    const outcome = await this.#commit(ref, cut.operations);
    if (outcome.kind === 'denied') throw denied(outcome.operations[0]?.what ?? '');
    if (outcome.kind === 'refused') {
      this.#doubt(ref, outcome.operations, claims);
      return { kind: 'refused' };
    }
    const after = cut.after(key => outcome.indexes.get(key) ?? NOT_THERE);
    ledger.committed(ref, after, outcome.indexes);
    for (const written of cut.done) this.#wrote(written, begunAt, outcome.indexes);
    return receiptFor(change, cut.done, record === undefined, deleting);
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

  /** Commits what was reserved in the ledger, and gives it back when nothing was written. */
  async #commit(ref: ResourceRef, operations: readonly WriteOperation[]): Promise<UnitOutcome> {
    const { gate, ledger, mirror } = this.#options;
    try {
      const outcome = await gate.commit({ owner: ref, operations });
      if (outcome.kind !== 'applied') ledger.giveBack(ref);
      return outcome;
    } catch (error) {
      if (isUnwritten(error)) ledger.giveBack(ref);
      else {
        // Committed or not: nothing that is remembered can be trusted until it was read again.
        mirror.forget(operations.map(({ key }) => key));
        ledger.mistrust(ref);
      }
      throw error;
    }
  }

  /** Consul names every operation that failed: what the others believed was right. */
  #doubt(ref: ResourceRef, refused: readonly RefusedOperation[], believed: ClaimsView): void {
    const { ledger, mirror } = this.#options;
    const keys = (realm: WriteOperation['realm']): string[] =>
      refused.flatMap(({ operation }) => (operation.realm === realm ? [operation.key] : []));
    mirror.doubt(keys('data'));
    for (const key of keys('record')) {
      if (key !== CLAIMS_KEY) ledger.mistrust(ref);
      // If our own adoptions moved the claims key, what is known of other installs still holds.
      else if (ledger.claims.index === believed.index) ledger.mistrustClaims();
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

/** Whether the error says that the transaction was not carried out. One that was aborted may have been. */
function isUnwritten(error: unknown): boolean {
  if (error instanceof RetryableError) return !error.outcomeUnknown;
  return error instanceof ConflictError || error instanceof TerminalError;
}

function denied(what: string): RetryableError {
  return new RetryableError(what, { code: 'CONSUL_DENIED', reason: 'ConsulDenied' });
}
