import type { LeaseSessions } from '../../commit/lease-sessions.ts';
import type { RefusedOperation, WriteOperation } from '../../commit/operations.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import { classifyLockRefusal } from '../../consul/errors.ts';
import { type ModifyIndex, NOT_THERE, type SessionId } from '../../consul/types.ts';
import type { Clock, Random } from '../../core/clock.ts';
import { timestamp } from '../../core/conditions.ts';
import { AbortedError } from '../../core/errors.ts';
import { encodeLockValue, LOCK_FLAGS } from '../../core/lock-value.ts';
import type { SessionMirror } from '../../mirror/session-mirror.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import { commitRecord } from '../../ownership/record-commit.ts';
import { claimsMoved, recordUnchanged } from '../../ownership/record-draft.ts';
import type { LeaseMemory } from './memory.ts';
import type { LeaseObservation, LeaseSubject } from './observe.ts';
import { leaseRecordOf, recordWrite } from './record-write.ts';
import { sessionName } from './sessions.ts';
import { type LeaseStep, recordAfter } from './steps.ts';

/** How long after a grant that the lock-delay refused it is tried again. */
const DELAYED_MS = { least: 700, spread: 600 };

export interface LeaseApplierOptions {
  readonly installId: string;
  readonly gate: WriteGate;
  readonly leaseSessions: LeaseSessions;
  readonly sessionMirror: SessionMirror;
  readonly ledger: Ledger;
  readonly memory: LeaseMemory;
  readonly clock: Clock;
  readonly random: Random;
  /** Never the same twice: a part of each session's name. */
  readonly drawAttempt: () => string;
}

type Grant = Extract<LeaseStep, { kind: 'grant' }>;
type Rewrite = Extract<LeaseStep, { kind: 'rewrite' }>;
type Vacate = Extract<LeaseStep, { kind: 'vacate' }>;
type Drop = Extract<LeaseStep, { kind: 'drop' }>;

/** Whether the step was carried out; if not, something else stands there than was believed, and nothing was written. */
type Carried = boolean;

/** One turn's steps, and what they go by. */
interface Round {
  readonly subject: LeaseSubject;
  readonly observed: LeaseObservation;
}

/** Carries out the Consul side of a plan: each step a transaction of its own, and all of it while leading. */
export class LeaseApplier {
  readonly #options: LeaseApplierOptions;

  constructor(options: LeaseApplierOptions) {
    this.#options = options;
  }

  /**
   * Carries out steps in order, up to the first that something stands in the way of; returns those that were. What only
   * made room for that one counts for nothing: each try makes a session, and the next one has to end it.
   * @throws what stopped the first of them; a later one is met again by the next plan.
   */
  async apply(
    subject: LeaseSubject,
    steps: readonly LeaseStep[],
    observed: LeaseObservation,
  ): Promise<readonly LeaseStep[]> {
    const done: LeaseStep[] = [];
    const isAdvanced = (): boolean => done.some(({ kind }) => kind !== 'discard');
    try {
      for (const step of steps) {
        if (!(await this.#carryOut(step, { subject, observed }))) return isAdvanced() ? done : [];
        done.push(step);
      }
    } catch (error) {
      if (!isAdvanced() || error instanceof AbortedError) throw error;
    }
    return done;
  }

  #carryOut(step: LeaseStep, round: Round): Promise<Carried> {
    switch (step.kind) {
      case 'grant':
        return this.#grant(step, round);
      case 'rewrite':
        return this.#lock(step, step.session, round);
      case 'vacate':
        return this.#vacate(step, round);
      case 'drop':
        return this.#drop(step, round);
      case 'discard':
        return this.#destroy(step.session, round);
      case 'record':
      case 'end':
        return this.#commit(step, [], round);
    }
  }

  async #grant(step: Grant, round: Round): Promise<Carried> {
    const session = step.session ?? (await this.#createSession(step, round));
    return session !== undefined && (await this.#lock(step, session, round));
  }

  async #createSession({ pod }: Grant, { subject, observed }: Round): Promise<SessionId | undefined> {
    const { leaseSessions, sessionMirror, drawAttempt } = this.#options;
    const { ref } = subject;
    const { settings } = observed.wish ?? {};
    if (settings === undefined) return undefined;
    const { ttlSeconds, lockDelaySeconds } = settings;
    try {
      const name = sessionName(ref, pod, drawAttempt());
      return await leaseSessions.create(ref, { name, ttlSeconds, lockDelaySeconds });
    } finally {
      // Also without an answer there may be one.
      sessionMirror.doubt();
    }
  }

  async #lock(step: Grant | Rewrite, session: SessionId, round: Round): Promise<Carried> {
    const { clock, memory } = this.#options;
    const { key, index, token, pod } = step;
    const acquiredTime = (step.kind === 'rewrite' ? step.acquiredTime : undefined) ?? timestamp(clock.now());
    const value = encodeLockValue({ holder: pod.name, uid: pod.uid, fencingToken: token, acquiredTime });
    const lock = { realm: 'data', verb: 'lock', key, session, value, flags: LOCK_FLAGS } as const;
    const remember = (): void => memory.granted(round.subject.ref, { session, token, acquiredTime });
    try {
      const isLocked = await this.#commit(step, [standsAt(key, index), lock], round);
      if (isLocked) remember();
      return isLocked;
    } catch (error) {
      // Without an answer somebody may have got this token: nobody else must.
      remember();
      throw error;
    }
  }

  async #vacate(step: Vacate, round: Round): Promise<Carried> {
    const { key, index, session, value, how } = step;
    if (how === 'release') {
      const unlock = { realm: 'data', verb: 'unlock', key, session, value, flags: LOCK_FLAGS } as const;
      if (!(await this.#commit(step, [standsAt(key, index), unlock], round))) return false;
    }
    return this.#destroy(session, round);
  }

  async #drop(step: Drop, round: Round): Promise<Carried> {
    const { key, index, session } = step;
    const removal: WriteOperation[] =
      index === NOT_THERE ? [] : [{ realm: 'data', verb: 'delete-cas', key, index }];
    if (!(await this.#commit(step, removal, round))) return false;
    return session === undefined || this.#destroy(session, round);
  }

  async #destroy(session: SessionId, { subject }: Round): Promise<Carried> {
    const { leaseSessions, sessionMirror } = this.#options;
    try {
      await leaseSessions.destroy(subject.ref, session);
    } finally {
      sessionMirror.doubt();
    }
    return true;
  }

  /** One transaction: the record as it is after the step, and what the step does to its key. */
  async #commit(step: LeaseStep, data: readonly WriteOperation[], round: Round): Promise<Carried> {
    const { ledger, installId } = this.#options;
    const { ref } = round.subject;
    const present = ledger.record(ref);
    const { record, claimed, after } = this.#recordPart(step, round);
    const claims = this.#claims(step, claimed, round);
    if (claims === undefined) return false;
    const outcome = await commitRecord(this.#options, {
      ref,
      claim: { names: claimed, exclusive: undefined },
      operations: [...claims, ...(record ?? [recordUnchanged({ installId, ref, record: present })]), ...data],
      after: after ?? (() => present),
      isUrgent: true,
    });
    if (outcome.kind === 'refused') this.#heed(step, outcome.operations, round);
    return outcome.kind === 'applied';
  }

  #recordPart(step: LeaseStep, { subject, observed }: Round) {
    const { ledger, installId, gate } = this.#options;
    const { ref, resource } = subject;
    const present = ledger.record(ref);
    if (step.kind === 'vacate') return { record: undefined, claimed: [], after: undefined };
    const { keys = [], settings } = observed.wish ?? {};
    const uid = resource?.metadata.uid ?? present?.head.uid ?? '';
    const label = settings?.leaderLabel ?? '';
    const before = leaseRecordOf(present);
    const next = recordAfter(step, before, { keys, uid, label, told: observed.facts.told });
    const generation = resource?.metadata.generation ?? present?.head.generation ?? 0;
    const stamp = { generation, epoch: gate.epoch };
    const { operations, after } = recordWrite(installId, { ref, present, next, stamp });
    const claimed = [...(next?.names.keys() ?? [])].filter(name => !before?.names.has(name));
    return { record: operations, claimed, after };
  }

  /**
   * What may have had no owner is taken, or listed without being written: installs must not race for it. Creating a
   * lock needs no such care. Undefined: it may not be taken, for not all claims can be read.
   */
  #claims(step: LeaseStep, claimed: readonly string[], { observed }: Round): WriteOperation[] | undefined {
    const isMade = (key: string): boolean =>
      step.kind === 'grant' && step.key === key && step.index === NOT_THERE;
    if (claimed.every(isMade)) return [];
    const { claims } = this.#options.ledger;
    if (!claims.complete) return observed.facts.claimsComplete ? undefined : [];
    return [claimsMoved(this.#options.installId, claims.index)];
  }

  /** Consul names every operation that failed. */
  #heed(step: LeaseStep, refused: readonly RefusedOperation[], { subject: { ref } }: Round): void {
    const { sessionMirror, memory, clock, random } = this.#options;
    const cause = classifyLockRefusal(refused);
    if (cause === 'invalid-session') sessionMirror.doubt();
    if (cause === 'lock-delay' && step.kind === 'grant') {
      memory.delay(ref, step.key, clock.monotonic() + DELAYED_MS.least + DELAYED_MS.spread * random());
    }
  }
}

/** That what was seen still stands there. */
function standsAt(key: string, index: ModifyIndex): WriteOperation {
  const place = { realm: 'data', key } as const;
  return index === NOT_THERE
    ? { ...place, verb: 'check-not-exists' }
    : { ...place, verb: 'check-index', index };
}
