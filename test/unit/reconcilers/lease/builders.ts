import type { KvEntry, ModifyIndex, SessionId } from '../../../../src/consul/types.ts';
import { encodeLockValue, LOCK_FLAGS } from '../../../../src/core/lock-value.ts';
import type { KubeObject } from '../../../../src/kube/types.ts';
import type { LeaseWish, ObservedLease, Told } from '../../../../src/reconcilers/lease/plan.ts';
import type { Pod, PodRef } from '../../../../src/reconcilers/lease/pods.ts';
import type { LeaseSession } from '../../../../src/reconcilers/lease/sessions.ts';
import type { SlotSight } from '../../../../src/reconcilers/lease/slots.ts';
import type { LeaseRecord } from '../../../../src/reconcilers/lease/steps.ts';

export const KEY = 'leases/orders';
export const ACQUIRED = '2026-01-01T00:00:00Z';

/** A session id that reads as the number it stands for. */
export function sessionId(number: number): SessionId {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}` as SessionId;
}

/** `a` → the Pod a with the uid u-a. */
export function podRef(name: string): PodRef {
  return { name, uid: `u-${name}` };
}

export function aPod(name: string, more: Partial<Pod> = {}): Pod {
  return {
    ...podRef(name),
    labels: { app: 'orders' },
    isReady: true,
    readySinceMs: 0,
    createdMs: 0,
    isDeleting: false,
    isTerminal: false,
    addresses: ['10.0.0.1'],
    node: 'node-1',
    ports: [],
    ...more,
  };
}

/** A Pod as the API server hands it out. */
export function aRawPod(name: string, parts: Partial<KubeObject> = {}): KubeObject {
  return {
    metadata: {
      name,
      uid: `u-${name}`,
      namespace: 'shop',
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { app: 'orders' },
    },
    spec: {},
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:01:00Z' }],
    },
    ...parts,
  };
}

export function lockValue(pod: string, token: bigint): Buffer {
  return encodeLockValue({ holder: pod, uid: `u-${pod}`, fencingToken: token, acquiredTime: ACQUIRED });
}

export function anEntry(more: Partial<KvEntry> = {}): KvEntry {
  return {
    key: KEY,
    value: Buffer.alloc(0),
    flags: LOCK_FLAGS,
    createIndex: 1,
    modifyIndex: 10 as ModifyIndex,
    lockIndex: 1,
    session: undefined,
    ...more,
  };
}

export const NOTHING_TOLD: Told = { highest: 0n, transitions: 0, acquired: new Map() };
export const LABEL = 'proconsul.dev/leader';

/** What a lease stands in: slot by slot, sessions by number. */
export interface Situation {
  readonly slots?: Readonly<Record<string, SlotSight>>;
  /** Session number → Pod. */
  readonly sessions?: Readonly<Record<number, string>> | undefined;
  readonly createIndex?: number;
  /** Session number → its name; undefined: the ACL token may not see it. */
  readonly strangers?: Readonly<Record<number, string | undefined>>;
  /** Key → token granted; empty: claimed. */
  readonly record?: Readonly<Record<string, string>> | undefined;
  readonly head?: Partial<LeaseRecord['head']>;
  readonly recordIndex?: number;
  readonly readIndex?: number;
  readonly told?: Partial<Told>;
  readonly rivals?: readonly string[];
  readonly claimsComplete?: boolean;
}

export function observed(situation: Situation): ObservedLease {
  const { slots = {}, record, strangers = {}, rivals = [], createIndex = 5 } = situation;
  const sessions = 'sessions' in situation ? situation.sessions : {};
  return {
    record: record && aRecord(record, situation.head),
    recordIndex: situation.recordIndex ?? 10,
    sight: key => slots[key] ?? 'absent',
    sessions: sessions && leaseSessions(sessions, createIndex),
    stranger: id => {
      const named = Object.entries(strangers).find(([number]) => sessionId(Number(number)) === id);
      return named && { name: named[1] };
    },
    readIndex: situation.readIndex ?? 20,
    told: { ...NOTHING_TOLD, ...situation.told },
    rival: key =>
      rivals.includes(key)
        ? { kind: 'resource', ref: { kind: 'ConsulKV', namespace: 'shop', name: 'rival' } }
        : undefined,
    claimsComplete: situation.claimsComplete ?? true,
  };
}

function leaseSessions(sessions: Readonly<Record<number, string>>, createIndex: number): LeaseSession[] {
  return Object.entries(sessions).map(([number, pod]) => {
    return { id: sessionId(Number(number)), pod: podRef(pod), createIndex };
  });
}

/** The highest of its tokens is the history's, unless the head says otherwise. */
export function aRecord(
  names: Readonly<Record<string, string>>,
  head: Partial<LeaseRecord['head']> = {},
): LeaseRecord {
  const token = String(Math.max(0, ...Object.values(names).map(Number)));
  return {
    head: { uid: 'u-1', onDelete: 'Delete', lease: { token, transitions: 0, label: LABEL }, ...head },
    names: new Map(Object.entries(names)),
  };
}

export function aWish(
  candidates: readonly string[],
  more: Partial<Omit<LeaseWish, 'candidates'>> = {},
): LeaseWish {
  const wish = { keys: [KEY], handover: 'Immediate', uid: 'u-1', label: LABEL } as const;
  return { ...wish, ...more, candidates: candidates.map(podRef) };
}

/** Held by session `number`, as the operator writes it. */
export function heldBy(number: number, pod: string, token: bigint, more: Partial<KvEntry> = {}): KvEntry {
  return anEntry({ session: sessionId(number), value: lockValue(pod, token), ...more });
}
