import type { EventReason } from '../../api/v1alpha1/common.ts';
import type {
  ConsulLeaderLeaseStatus,
  LeaseHolder,
  LeaseSettings,
} from '../../api/v1alpha1/consulleaderlease.ts';
import type { SessionId } from '../../consul/types.ts';
import { clip } from '../../core/conditions.ts';
import { type LockValue, parseLockValue } from '../../core/lock-value.ts';
import { escapeUnprintable } from '../../core/printable.ts';
import type { AppliedWork, KindPlan, Report } from '../../runtime/kind.ts';
import { isHeld, type Slot, type SlotSight, type SlotTokens } from './slots.ts';
import type { LeaseStep } from './steps.ts';

const NAMED = 10;
const MAX_NAME_CHARS = 253;

/** Who holds a lease that the operator grants, in the order of the slots. */
export function holdersIn(slots: readonly Slot[], tokens: SlotTokens | undefined): LeaseHolder[] {
  return slots.filter(isHeld).map(({ key, pod, session, value }) => {
    const { acquiredTime } = value ?? {};
    const fencingToken = tokens?.get(key) || value?.fencingToken.toString();
    return {
      name: pod.name,
      uid: pod.uid,
      sessionID: session,
      ...(fencingToken === undefined ? {} : { fencingToken }),
      ...(isTime(acquiredTime) ? { acquiredTime } : {}),
    };
  });
}

/**
 * Who holds a lease that applications take: `holder` of the JSON value, else the name of the session. Undefined when
 * that, or a key, has not been read yet.
 */
export function applicationHolders(
  keys: readonly string[],
  sight: (key: string) => SlotSight,
  nameOf: (session: SessionId) => string | undefined,
): LeaseHolder[] | undefined {
  const holders: LeaseHolder[] = [];
  for (const key of keys) {
    const seen = sight(key);
    if (seen === 'unknown') return undefined;
    if (seen === 'absent' || seen.session === undefined) continue;
    const value = parseLockValue(seen.value);
    const name = value?.holder ?? nameOf(seen.session);
    if (name === undefined) return undefined;
    holders.push(applicationHolder(name, seen.session, value));
  }
  return holders;
}

function applicationHolder(name: string, sessionID: SessionId, value: LockValue | undefined): LeaseHolder {
  const session = { name: escapeUnprintable(clip(name, MAX_NAME_CHARS)), sessionID };
  if (value === undefined) return session;
  const { uid, fencingToken, acquiredTime } = value;
  return {
    ...session,
    uid: escapeUnprintable(clip(uid, MAX_NAME_CHARS)),
    fencingToken: fencingToken.toString(),
    ...(isTime(acquiredTime) ? { acquiredTime } : {}),
  };
}

/** RFC 3339, as the schema of the status demands: a value that was edited may hold anything. */
function isTime(text: string | undefined): text is string {
  return text !== undefined && TIME.test(text) && !Number.isNaN(Date.parse(text));
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** For a lease that applications take, what the status says: there is no record that counts. */
export function transitionsSeen(
  holders: readonly LeaseHolder[],
  previous: Pick<ConsulLeaderLeaseStatus, 'holders' | 'transitions'>,
): number | undefined {
  const { transitions, holders: before = [] } = previous;
  if (transitions === undefined) return holders.length > 0 ? 0 : undefined;
  const known = new Set(before.map(({ sessionID }) => sessionID));
  return transitions + holders.filter(({ sessionID }) => !known.has(sessionID)).length;
}

/** Why a lease that applications take is not Ready; undefined when somebody holds it. */
export function applicationWait(
  holders: readonly LeaseHolder[] | undefined,
  candidates: number,
): Extract<KindPlan<never>, { kind: 'wait' }> | undefined {
  if (holders === undefined) {
    return { kind: 'wait', reason: 'Progressing', message: 'the locks have not all been read yet' };
  }
  if (holders.length > 0) return undefined;
  return candidates === 0
    ? { kind: 'wait', reason: 'NoCandidates', message: 'no Ready Pod matches the selector' }
    : { kind: 'wait', reason: 'Progressing', message: 'no application has taken the lock' };
}

export interface LeaseView {
  readonly settings: LeaseSettings;
  readonly datacenter: string;
  readonly driftSeen: 'Watched' | 'Swept';
  readonly holders: readonly LeaseHolder[];
  readonly transitions: number | undefined;
  /** What keeps a leader from being reached. */
  readonly problems: readonly string[];
}

/** What the status says of a lease that somebody holds. */
export function reportLease(view: LeaseView): Report {
  const { holders, transitions, datacenter, driftSeen, problems } = view;
  return {
    message: [heldMessage(view), ...problems].join('; '),
    driftSeen,
    datacenter,
    status: {
      holders,
      ...(transitions === undefined ? {} : { transitions }),
    },
  };
}

/** `status.effective`, but for datacenter and drift: a lease has other settings than kinds with policies. */
export function effectiveOf({
  settings,
  key,
}: {
  readonly settings: LeaseSettings;
  readonly key: string;
}): Omit<NonNullable<ConsulLeaderLeaseStatus['effective']>, 'datacenter' | 'drift'> {
  const { heldBy, handover, holders, ttl, lockDelay, leaderLabel } = settings;
  return { key, heldBy, handover, holders, ttl, lockDelay, leaderLabel };
}

function heldMessage({ holders, settings }: LeaseView): string {
  const names = listed(holders.map(({ name }) => name));
  if (settings.holders === 1) return `held by ${names}`;
  return `${holders.length} of ${settings.holders} held by ${names}`;
}

function listed(names: readonly string[]): string {
  const first = names.slice(0, NAMED).join(', ');
  return names.length > NAMED ? `${first} and ${names.length - NAMED} more` : first;
}

/**
 * What steps that were carried out mean to the user, as one Event. `isFirst`: nobody held the lease before. Undefined:
 * only tidying, of which nobody needs to hear.
 */
export function receiptFor(
  done: readonly LeaseStep[],
  { isFirst, deleting }: { readonly isFirst: boolean; readonly deleting: boolean },
): AppliedWork | undefined {
  const note = summarize(done);
  const corrected = done.filter(({ kind }) => kind === 'rewrite').length;
  const has = (...kinds: readonly LeaseStep['kind'][]): boolean =>
    done.some(({ kind }) => kinds.includes(kind));
  const told = (event: EventReason): AppliedWork => ({ event, note, corrected });
  if (deleting) return told('Deleted');
  if (has('grant')) return told(isFirst ? 'Created' : 'LeaderChanged');
  if (has('vacate')) return told('LeaderChanged');
  if (corrected > 0) return told('DriftCorrected');
  return has('drop', 'record', 'end') ? told('Updated') : undefined;
}

/** `take the lease from a; give it to b`: what steps do. */
export function summarize(steps: readonly LeaseStep[]): string {
  const pods = (kind: 'vacate' | 'grant' | 'rewrite'): string[] =>
    steps.flatMap(step => (step.kind === kind ? [step.pod.name] : []));
  const keys = steps.flatMap(step => (step.kind === 'drop' ? [step.key] : []));
  const say = (what: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`${what} ${listed(names)}`];
  const parts = [
    ...say('take the lease from', pods('vacate')),
    ...say('give the lease to', pods('grant')),
    ...say('put right the lock of', pods('rewrite')),
    ...say('remove', keys),
  ];
  return parts.length > 0 ? parts.join('; ') : 'update the owner record and sessions';
}
