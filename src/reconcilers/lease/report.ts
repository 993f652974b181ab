import { named } from '../../core/named.ts';
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
import type { AppliedWork, Report } from '../../runtime/kind.ts';
import { isHeld, type Slot, type SlotSight, type SlotTokens, type Stranger } from './slots.ts';
import type { LeaseWait, ObservedLease } from './plan.ts';
import { highest, type LeaseStep, tokenIn } from './steps.ts';

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

/** Why nobody can tell who holds a lease. */
export interface HoldersUnseen {
  /** `Progressing`: the next look will tell. */
  readonly reason: 'Progressing' | 'ConsulDenied';
  readonly message: string;
}

export function isUnseen(holders: readonly LeaseHolder[] | HoldersUnseen): holders is HoldersUnseen {
  return 'reason' in holders;
}

export function seenHolders(holders: readonly LeaseHolder[] | HoldersUnseen): readonly LeaseHolder[] {
  return isUnseen(holders) ? [] : holders;
}

/** Who holds a lease that applications take: `holder` of the JSON value, else the name of the session. */
export function applicationHolders(
  keys: readonly string[],
  sight: (key: string) => SlotSight,
  strangerOf: (session: SessionId) => Stranger | undefined,
): readonly LeaseHolder[] | HoldersUnseen {
  const holders: LeaseHolder[] = [];
  for (const key of keys) {
    const seen = sight(key);
    if (seen === 'unknown') return NOT_READ;
    if (seen === 'absent' || seen.session === undefined) continue;
    const value = parseLockValue(seen.value);
    const stranger = strangerOf(seen.session);
    const name = value?.holder ?? stranger?.name;
    if (name === undefined) return stranger === undefined ? NOT_READ : hiddenHolder(key, seen.session);
    holders.push(applicationHolder(name, seen.session, value));
  }
  return holders;
}

const NOT_READ: HoldersUnseen = {
  reason: 'Progressing',
  message: 'the locks have not all been read yet',
};

function hiddenHolder(key: string, session: SessionId): HoldersUnseen {
  const rule = 'session_prefix "" { policy = "read" }';
  const message = `session ${session} holds key ${key}, and the ACL token may not see whose it is: add ${rule}, or write the holder's name at the key`;
  return { reason: 'ConsulDenied', message };
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

/** What only ever grows; `previous` undefined: nobody knows what the status says, so nothing is said instead. */
export function countsSeen({
  settings,
  holders,
  facts: { record, told },
  previous,
}: {
  readonly settings: Pick<LeaseSettings, 'heldBy'>;
  readonly holders: readonly LeaseHolder[];
  readonly facts: Pick<ObservedLease, 'record' | 'told'>;
  readonly previous: Partial<Pick<ConsulLeaderLeaseStatus, 'holders' | 'transitions'>> | undefined;
}): Pick<LeaseView, 'transitions' | 'highestToken'> {
  if (previous === undefined) return { transitions: undefined, highestToken: 0n };
  const { token, transitions } = record?.head.lease ?? {};
  const shown = holders.map(({ fencingToken }) => tokenIn(fencingToken));
  return {
    transitions:
      settings.heldBy === 'Application'
        ? transitionsSeen(holders, previous)
        : greater(transitions, previous.transitions),
    highestToken: highest([tokenIn(token), told.highest, ...shown]),
  };
}

function greater(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
}

/** For a lease that applications take: nobody records their grants. */
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
  holders: readonly LeaseHolder[] | HoldersUnseen,
  candidates: number,
): LeaseWait | undefined {
  if (isUnseen(holders)) return { kind: 'wait', ...holders, againMs: LOOK_AGAIN_MS[holders.reason] };
  if (holders.length > 0) return undefined;
  return candidates === 0
    ? { kind: 'wait', reason: 'NoCandidates', message: 'no Ready Pod matches the selector' }
    : { kind: 'wait', reason: 'Progressing', message: 'no application has taken the lock' };
}

/** Nobody tells when a session is made, or a policy of an ACL token changes. */
const LOOK_AGAIN_MS = { Progressing: 1_000, ConsulDenied: 10_000 } as const;

export interface LeaseView {
  readonly settings: LeaseSettings;
  readonly datacenter: string;
  readonly driftSeen: 'Watched' | 'Swept';
  readonly holders: readonly LeaseHolder[];
  readonly transitions: number | undefined;
  /** 0: none is known. */
  readonly highestToken: bigint;
  /** What keeps a leader from being reached. */
  readonly problems: readonly string[];
}

/** What the status says of a lease that somebody holds. */
export function reportLease(view: LeaseView): Report {
  const { holders, transitions, highestToken, datacenter, driftSeen, problems } = view;
  return {
    message: [heldMessage(view), ...problems].join('; '),
    driftSeen,
    datacenter,
    status: {
      holders,
      ...(transitions === undefined ? {} : { transitions }),
      ...(highestToken === 0n ? {} : { highestFencingToken: highestToken.toString() }),
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
  const names = named(holders.map(({ name }) => name));
  if (settings.holders === 1) return `held by ${names}`;
  return `${holders.length} of ${settings.holders} held by ${names}`;
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
  return has('drop', 'end') ? told('Updated') : undefined;
}

/** `take the lease from a; give it to b`: what steps do. */
export function summarize(steps: readonly LeaseStep[]): string {
  const pods = (kind: 'vacate' | 'grant' | 'rewrite'): string[] =>
    steps.flatMap(step => (step.kind === kind ? [step.pod.name] : []));
  const keys = steps.flatMap(step => (step.kind === 'drop' ? [step.key] : []));
  const say = (what: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`${what} ${named(names)}`];
  const parts = [
    ...say('take the lease from', pods('vacate')),
    ...say('give the lease to', pods('grant')),
    ...say('put right the lock of', pods('rewrite')),
    ...say('remove', keys),
  ];
  return parts.length > 0 ? parts.join('; ') : 'update the owner record and sessions';
}
