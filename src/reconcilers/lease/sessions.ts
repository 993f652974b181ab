import type { Session } from '../../consul/session.ts';
import type { SessionId } from '../../consul/types.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { PodRef } from './pods.ts';

/** A Consul session that the operator made for a Pod. It is all that says whose tenure it is: values can be edited. */
export interface LeaseSession {
  readonly id: SessionId;
  readonly pod: PodRef;
  /** Raft index at which it was made. */
  readonly createIndex: number;
}

type LeaseName = Pick<ResourceRef, 'namespace' | 'name'>;

/**
 * The name of a session: `lease/<namespace>/<name>/<pod>/<pod uid>/<attempt>`. Kubernetes forbids `/` in all of them.
 *
 * @param attempt drawn anew for every session, so that one whose creation was not answered can be found.
 */
export function sessionName({ namespace, name }: LeaseName, pod: PodRef, attempt: string): string {
  return ['lease', namespace, name, pod.name, pod.uid, attempt].join('/');
}

/** Whose session it is, by its name; undefined for those of no lease. */
export function readSessionName(
  text: string,
): { readonly lease: LeaseName; readonly pod: PodRef } | undefined {
  const [mark, namespace, name, pod, uid, attempt, ...rest] = text.split('/');
  if (mark !== 'lease' || !namespace || !name || !pod || !uid || !attempt || rest.length > 0)
    return undefined;
  return { lease: { namespace, name }, pod: { name: pod, uid } };
}

/** The sessions of one lease among those of the install's own node. */
export function sessionsOf({ namespace, name }: LeaseName, sessions: readonly Session[]): LeaseSession[] {
  return sessions.flatMap(({ id, name: text, createIndex }) => {
    const named = readSessionName(text);
    const isOurs = named?.lease.namespace === namespace && named.lease.name === name;
    return isOurs ? [{ id, pod: named.pod, createIndex }] : [];
  });
}
