/**
 * The rules of the election: what a candidate does next, decided without doing it.
 *
 *                campaign             lock is free             opened                      acquired
 *        idle ─────────────▶ watching ────────────▶ opening ────────────▶ campaigning ─────────────────▶ leading
 *         ▲  ▲                  ▲ ▲                    │ not opened            │ taken by another, session lost,  │
 *         │  └── conflict ──────┘ └────────────────────┴──────────────────────┘ index gone back                 │
 *         └────── resigned: release, then destroy. Ended by anything else: destroy, so that the lock-delay counts ┘
 *
 * Standbys have no session. A session serves one tenure at most: whatever ends `campaigning` or `leading` destroys it,
 * and no state ever takes one back (a restored snapshot may revive it). The key is never deleted.
 */
import { ConflictError, TerminalError } from '../core/errors.ts';
import type { SessionId } from '../consul/types.ts';
import type {
  AcquireRefusal,
  Campaigning,
  Context,
  Effect,
  ElectionEvent,
  Leading,
  Opening,
  Sight,
  State,
  Step,
  Watching,
} from './model.ts';
import { isOver, keptSince, notRenewed, renewing, untilNextMs, untilRenewalMs } from './renewal.ts';
import type { SeenLock } from './seen-lock.ts';

export const IDLE: State = { kind: 'idle' };

export function step(state: State, event: ElectionEvent, context: Context): Step {
  // Made for a campaign that is over, or twice: nobody will renew it.
  if (event.kind === 'opened' && state.kind !== 'opening') return stay(state, destroy(event.session));
  if (isAboutAnotherSession(state, event)) return stay(state);
  switch (state.kind) {
    case 'idle':
      return event.kind === 'campaign'
        ? stay({ kind: 'watching', sight: undefined, failures: 0 })
        : stay(state);
    case 'watching':
      return whileWatching(state, event, context);
    case 'opening':
      return whileOpening(state, event, context);
    case 'campaigning':
      return whileCampaigning(state, event, context);
    case 'leading':
      return whileLeading(state, event, context);
  }
}

/** When `time` is due, in milliseconds from `at`; undefined while nothing depends on it. */
export function nextTimeMs(state: State, { at, timing }: Pick<Context, 'at' | 'timing'>): number | undefined {
  return 'kept' in state ? untilNextMs(state.kept, at, timing) : undefined;
}

function whileWatching(state: Watching, event: ElectionEvent, context: Context): Step {
  switch (event.kind) {
    case 'seen':
      return decide({ ...state, sight: event.sight }, context);
    case 'retry':
      return decide(state, context);
    case 'clear-failed':
      return again(state);
    case 'hopeless':
      return giveUp(state, event.error);
    case 'resign':
    case 'stop':
      return stay(IDLE);
    case 'campaign':
    case 'looked':
    case 'look-failed':
    case 'opened':
    case 'not-opened':
    case 'acquired':
    case 'refused':
    case 'acquire-failed':
    case 'renewed':
    case 'renew-failed':
    case 'session-gone':
    case 'revoked':
    case 'time':
      return stay(state);
  }
}

/** What to do about the lock without a session. */
function decide(state: Watching, context: Context): Step {
  const { sight, failures } = state;
  if (sight === undefined) return stay(state);
  const { lock, verdict } = sight;
  const error = reasonToGiveUp(sight, context);
  if (error !== undefined) return giveUp(state, error);
  if (lock.session === undefined) {
    if (context.stuck !== undefined) return again(state);
    return stay({ kind: 'opening', sight, failures }, { do: 'open' });
  }
  if (verdict === 'dead') return stay(state, { do: 'clear', session: lock.session, lock });
  // Revived by a restore, or not destroyed yet: the lock-delay has to run all the same.
  if (verdict === 'own') return stay(state, destroy(lock.session));
  return stay({ ...state, failures: 0 });
}

function whileOpening(state: Opening, event: ElectionEvent, context: Context): Step {
  switch (event.kind) {
    case 'seen':
      return stay({ ...state, sight: event.sight });
    case 'opened': {
      const kept = keptSince(event.session, event.sentAt);
      return ask({ ...state, kind: 'campaigning', kept, asking: 'not', askedAt: 0 }, context);
    }
    case 'not-opened':
      return again({ ...state, kind: 'watching' });
    case 'hopeless':
      return giveUp(state, event.error);
    case 'resign':
    case 'stop':
      return stay(IDLE);
    case 'campaign':
    case 'looked':
    case 'look-failed':
    case 'acquired':
    case 'refused':
    case 'acquire-failed':
    case 'renewed':
    case 'renew-failed':
    case 'session-gone':
    case 'revoked':
    case 'clear-failed':
    case 'retry':
    case 'time':
      return stay(state);
  }
}

function whileCampaigning(state: Campaigning, event: ElectionEvent, context: Context): Step {
  switch (event.kind) {
    case 'seen':
      if (event.reset) return startOver({ ...state, sight: event.sight });
      return noteSight({ ...state, sight: event.sight }, context);
    case 'looked':
      return ask({ ...state, sight: event.sight, asking: 'not' }, context);
    case 'look-failed':
      return again(state);
    case 'acquired':
      return lead(state, event.fencingToken, event.index, context);
    case 'refused':
      return afterRefusal({ ...state, asking: 'not' }, event.why, context);
    case 'acquire-failed':
      return event.outcomeUnknown
        ? stay({ ...state, asking: 'unclear' }, look(state))
        : again({ ...state, asking: 'not' });
    case 'retry':
      if (state.asking === 'unclear') return stay(state, look(state));
      return state.asking === 'not' ? ask(state, context) : stay(state);
    case 'session-gone':
      return startOver(state);
    case 'hopeless':
      return giveUp(state, event.error);
    case 'resign':
      return stay(IDLE, { do: 'release', session: state.kept.id });
    case 'stop':
      return stay(IDLE, destroy(state.kept.id));
    case 'time':
    case 'renewed':
    case 'renew-failed':
      return keepAlive(state, event, context, () => startOver(state));
    case 'campaign':
    case 'opened':
    case 'not-opened':
    case 'revoked':
    case 'clear-failed':
      return stay(state);
  }
}

/** The key has our session: then it is ours, however that is learned. Else an answer under way will tell. */
function noteSight(state: Campaigning, context: Context): Step {
  const isOurs = state.sight.lock.session === state.kept.id;
  return isOurs || state.asking === 'not' ? ask(state, context, { mayAcquire: false }) : stay(state);
}

/** What to do about the lock with a session in hand. */
function ask(state: Campaigning, context: Context, { mayAcquire = true } = {}): Step {
  const { kept, sight } = state;
  const { lock } = sight;
  if (lock.session === kept.id) {
    // Without its token the tenure would not be in order with others.
    if (lock.value === undefined) return startOver(state);
    return lead(state, lock.value.fencingToken, lock.index, context);
  }
  const error = reasonToGiveUp(sight, context);
  if (error !== undefined) return giveUp(state, error);
  if (lock.session !== undefined) return standBy(state, context);
  if (context.stuck !== undefined) return startOver(state);
  if (!mayAcquire) return stay(state);
  const asked: Campaigning = { ...state, asking: 'acquiring', askedAt: lock.index };
  return stay(asked, { do: 'acquire', session: kept.id, lock });
}

function afterRefusal(state: Campaigning, why: AcquireRefusal, context: Context): Step {
  switch (why) {
    case 'lock-delay':
      return context.patient
        ? stay({ ...state, failures: 0 }, { do: 'await-lock-delay', forMs: untilOpenMs(state, context) })
        : giveUp(state, taken(context));
    case 'held':
    case 'moved':
      // Lost to another. What became of the lock either was seen meanwhile, or the watch is about to tell.
      return state.sight.lock.index === state.askedAt
        ? stay({ kind: 'watching', sight: undefined, failures: 0 }, destroy(state.kept.id))
        : ask(state, context);
    case 'invalid-session':
      return startOver(state);
  }
}

/** A lock-delay starts when the session ends, which the watch shows at once. */
function untilOpenMs({ sight }: Campaigning, { at, timing }: Context): number {
  return sight.since + timing.lockDelaySeconds * 1000 - at;
}

function lead(state: Campaigning, fencingToken: bigint, index: number, context: Context): Step {
  const { kept, sight } = state;
  // The answer took its time, and the lock is known to have been lost meanwhile.
  const isLost = sight.lock.index > index && sight.lock.session !== kept.id;
  if (isLost || isOver(kept, context.at, context.timing)) return startOver(state);
  const leading: Leading = { kind: 'leading', kept, fencingToken, acquiredAt: index };
  return stay(leading, { do: 'lead', session: kept.id, fencingToken });
}

function whileLeading(state: Leading, event: ElectionEvent, context: Context): Step {
  switch (event.kind) {
    case 'seen':
      if (event.reset) return end(state, "Consul's index went back: it was restored or rebuilt");
      return event.sight.lock.index < state.acquiredAt ? stay(state) : judge(state, event.sight.lock);
    case 'looked':
      if (event.acquiredAt !== state.acquiredAt) return stay(state);
      // Consistent, and asked after the acquisition was answered: older means that Consul lost it.
      if (event.sight.lock.index < state.acquiredAt)
        return end(state, 'Consul does not know of the acquisition any more: it was restored or rebuilt');
      return judge(state, event.sight.lock);
    case 'session-gone':
      return end(state, 'its session is gone');
    case 'revoked':
      return end(state, event.why);
    case 'stop':
      return end(state, event.why);
    case 'resign': {
      const { id } = state.kept;
      return stay(IDLE, { do: 'end', session: id, why: 'resigned' }, { do: 'release', session: id });
    }
    case 'time':
    case 'renewed':
    case 'renew-failed':
      return keepAlive(state, event, context, why => end(state, why));
    case 'campaign':
    case 'look-failed':
    case 'opened':
    case 'not-opened':
    case 'acquired':
    case 'refused':
    case 'acquire-failed':
    case 'clear-failed':
    case 'hopeless':
    case 'retry':
      return stay(state);
  }
}

function judge(state: Leading, lock: SeenLock): Step {
  if (lock.session === state.kept.id) return stay(state);
  if (lock.entry === undefined) return end(state, 'the key of its lock was deleted');
  return end(state, lock.session === undefined ? 'its lock was released' : 'its lock has another session');
}

/** Time and renewals, as they go for every session. @param over how the state ends without one. */
function keepAlive(
  state: Campaigning | Leading,
  event: Extract<ElectionEvent, { kind: 'time' | 'renewed' | 'renew-failed' }>,
  context: Context,
  over: (why: string) => Step,
): Step {
  const { kept } = state;
  const { at, timing, stuck } = context;
  // Judged before a renewal that was just answered counts: a lease that has run out stays so.
  if (isOver(kept, at, timing)) return over('its lease ran out before Consul answered a renewal');
  switch (event.kind) {
    case 'renewed': {
      const renewed = { ...state, kept: keptSince(kept.id, event.sentAt) };
      return renewed.kind === 'leading' ? stay(renewed, look(renewed)) : stay(renewed);
    }
    case 'renew-failed':
      return stay({ ...state, kept: notRenewed(kept, at) });
    case 'time':
      if (untilRenewalMs(kept, at, timing) > 0) return stay(state);
      if (stuck !== undefined) return over(`the work makes no progress: ${stuck}`);
      return stay({ ...state, kept: renewing(kept) }, { do: 'renew', session: kept.id });
  }
}

/** Answers that come late speak of a session that was given up. */
function isAboutAnotherSession(state: State, event: ElectionEvent): boolean {
  if (!('session' in event) || event.kind === 'opened') return false;
  return !('kept' in state) || state.kept.id !== event.session;
}

/** Why this candidate must not take part. */
function reasonToGiveUp({ lock, verdict }: Sight, context: Context): Error | undefined {
  const { lockKey, patient } = context;
  if (lock.foreignUse !== undefined) {
    return new TerminalError(
      `the key ${JSON.stringify(lockKey)} is used for ${lock.foreignUse}: it is left alone. ` +
        'Choose another key for the lock, or delete this one if nobody needs it',
      { code: 'LOCK_CONFLICT', reason: 'AlreadyExists' },
    );
  }
  if (lock.session === undefined) return undefined;
  if (verdict instanceof Error) return verdict;
  return patient ? undefined : taken(context);
}

function taken({ lockKey }: Context): ConflictError {
  return new ConflictError(`the lock ${JSON.stringify(lockKey)} is taken`, {
    code: 'LOCK_TAKEN',
    reason: 'Progressing',
  });
}

function end(state: Leading, why: string): Step {
  const { id } = state.kept;
  return stay(IDLE, { do: 'end', session: id, why }, destroy(id));
}

/** Another holds the lock: standbys have no session. */
function standBy({ kept, sight }: Campaigning, context: Context): Step {
  const next = decide({ kind: 'watching', sight, failures: 0 }, context);
  return { ...next, effects: [destroy(kept.id), ...next.effects] };
}

/** The session is of no use any more; the next attempt makes another. */
function startOver({ kept, sight, failures }: Campaigning): Step {
  const step = again({ kind: 'watching', sight, failures });
  return { ...step, effects: [destroy(kept.id), ...step.effects] };
}

function giveUp(state: Watching | Opening | Campaigning, error: Error): Step {
  const fail: Effect = { do: 'fail', error };
  return 'kept' in state ? stay(IDLE, destroy(state.kept.id), fail) : stay(IDLE, fail);
}

function again(state: Watching | Campaigning): Step {
  return stay({ ...state, failures: state.failures + 1 }, { do: 'retry', failures: state.failures });
}

function look(state: Campaigning | Leading): Effect {
  const acquiredAt = state.kind === 'leading' ? state.acquiredAt : undefined;
  return { do: 'look', session: state.kept.id, acquiredAt };
}

function destroy(session: SessionId): Effect {
  return { do: 'destroy', session };
}

function stay(state: State, ...effects: Effect[]): Step {
  return { state, effects };
}
