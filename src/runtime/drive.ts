import type { CommonStatus } from '../api/v1alpha1/common.ts';
import { ConflictError } from '../core/errors.ts';
import type { AppliedWork, Kind, KindPlan, Subject } from './kind.ts';
import type { StoredObject } from './objects.ts';
import type { TurnState } from './turn-state.ts';

/** Transactions one turn may make before it gives way to others; a big tree goes on in the next one. */
const MAX_TRANSACTIONS = 500;
/** Stale preconditions in a row before the turn gives up for now. */
const MAX_LOST = 5;

export interface DriveOptions<Spec, Status extends CommonStatus, Observed, Change> {
  readonly kind: Kind<Spec, Status, Observed, Change>;
  readonly turn: TurnState<StoredObject>;
  readonly subject: Subject<Spec, Status>;
  /** Plan, but write nothing except what a plan tends. */
  readonly withhold?: boolean;
  readonly beforeFirstWrite?: () => Promise<void>;
  /** Called after each transaction that was applied, before anything else can fail. */
  readonly onApplied: (work: AppliedWork) => void;
}

/** Where a drive ended: a plan that is no change, unless it is withheld, and what it was planned from. */
export interface Driven<Observed, Change> {
  readonly plan: KindPlan<Change>;
  readonly observed: Observed;
  /** What kept the plan, a change, from being carried out, though what was observed holds. */
  readonly failure?: { readonly error: unknown };
}

/**
 * Observes, plans, applies one transaction, and again from there, until there is nothing left to do.
 *
 * @throws ConflictError when the change is too large for one turn, or others write the same keys all the time.
 * @throws what the kind throws.
 */
export async function drive<Spec, Status extends CommonStatus, Observed, Change>(
  options: DriveOptions<Spec, Status, Observed, Change>,
): Promise<Driven<Observed, Change>> {
  const { kind, turn, subject, withhold = false, beforeFirstWrite, onApplied } = options;
  const { signal, span } = turn;
  let fresh = turn.isForced();
  for (let made = 0, lost = 0; made < MAX_TRANSACTIONS; made++) {
    const asked = { fresh, signal };
    const observed = await span.step('observe', () => kind.observe(subject, asked));
    const plan = await span.step('plan', () => kind.plan(subject, observed));
    span.note({ plan: plan.kind });
    const change = changeIn(plan, withhold);
    if (change === undefined) return { plan, observed };
    if (made === 0 && !withhold) await beforeFirstWrite?.();
    signal.throwIfAborted();
    const receipt = await span.step('apply', () => kind.apply(subject, change, observed));
    if (receipt.kind === 'applied') onApplied(receipt);
    if (receipt.kind === 'failed') return { plan, observed, failure: receipt };
    lost = receipt.kind === 'refused' ? lost + 1 : 0;
    if (lost > MAX_LOST) throw lostTooOften();
    fresh = false;
  }
  throw tooLong();
}

/** What is to be applied of a plan; undefined: nothing. */
function changeIn<Change>(plan: KindPlan<Change>, withhold: boolean): Change | undefined {
  if (plan.kind !== 'change') return undefined;
  return withhold ? plan.tend : plan.change;
}

function lostTooOften(): ConflictError {
  return new ConflictError(`Consul changed under the operator's hands ${MAX_LOST} times in a row`, {
    code: 'TURN_CONTENDED',
    reason: 'Progressing',
  });
}

function tooLong(): ConflictError {
  return new ConflictError('the change is too large for one turn and goes on in the next', {
    code: 'TURN_TOO_LONG',
    reason: 'Progressing',
  });
}
