import { AbortedError } from '../../core/errors.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { Receipt } from '../../runtime/kind.ts';
import type { LeaseCluster, PodLabels, WriteOutcome } from './cluster.ts';
import { LEADS, type LabelStep, planLabels } from './labels.ts';
import type { LeaseMemory } from './memory.ts';
import type { LeaseObservation, LeaseSubject } from './observe.ts';
import type { PodRef } from './pods.ts';
import type { RouteStep } from './routing.ts';

/** What is to be done in Kubernetes; in no order. */
export interface ClusterSteps {
  /** One for each Pod: two writes at once would stand in each other's way. */
  readonly labels: readonly PodLabels[];
  readonly routes: readonly RouteStep[];
}

/** Writes of one lease at a time. */
const AT_ONCE = 4;

/**
 * What keeps labels and Service from showing who leads; undefined: nothing. A label that the record does not name yet
 * comes after it: whoever finds only the record has to know what to take off again.
 */
export function planCluster(
  { ref, resource }: LeaseSubject,
  { wish, record, pods, routing }: LeaseObservation,
  cluster: LeaseCluster,
  memory: LeaseMemory,
): ClusterSteps | 'after the record' | undefined {
  const recorded = record?.head.lease?.label;
  const label = wish?.settings.leaderLabel ?? recorded;
  if (label === undefined) return undefined;
  const isThere = ({ name, uid }: PodRef): boolean => cluster.pod(ref.namespace, name)?.uid === uid;
  const labels = planLabels({
    label,
    formerLabel: recorded,
    holders: pods.leading,
    pods: pods.matching,
    former: memory.formerHolders(ref, resource?.status ?? {}, isThere),
    isLedElsewhere: (pod, one) =>
      memory.isLedElsewhere(ref, pod, one) ||
      cluster.isLedElsewhere(ref, pod, one, other => memory.hasSeen(other)),
  }).filter(step => isNeeded(step, cluster, ref.namespace));
  const { steps: routes } = routing;
  if (recorded === label) return stepsOf(labels, routes);
  const removals = labels.filter(({ value }) => value === undefined);
  if (removals.length > 0 && record !== undefined) return stepsOf(removals, []);
  return labels.length + routes.length > 0 || record !== undefined ? 'after the record' : undefined;
}

function stepsOf(labels: readonly LabelStep[], routes: readonly RouteStep[]): ClusterSteps | undefined {
  return labels.length + routes.length === 0 ? undefined : { labels: byPod(labels), routes };
}

function byPod(steps: readonly LabelStep[]): PodLabels[] {
  const changes = new Map<string, PodLabels>();
  for (const { pod, label, value } of steps) {
    const labels = { ...changes.get(pod.uid)?.labels, [label]: value ?? null };
    changes.set(pod.uid, { pod, labels });
  }
  return [...changes.values()];
}

/** Former holders are named whatever became of them: most are gone, or do not carry the label any more. */
function isNeeded({ pod, label, value }: LabelStep, cluster: LeaseCluster, namespace: string): boolean {
  const present = cluster.pod(namespace, pod.name);
  if (present?.uid !== pod.uid) return false;
  return value === undefined ? present.labels[label] === LEADS : present.labels[label] !== value;
}

/**
 * Carries out the Kubernetes side of a plan. `refused`: something changed since it was read, and is known by now.
 * `failed`: one of the writes did, and the others were tried; who leads stays what it was.
 * @throws AbortedError when this process may not write.
 */
export async function applyCluster(
  { namespace }: Pick<ResourceRef, 'namespace'>,
  { labels, routes }: ClusterSteps,
  cluster: LeaseCluster,
): Promise<Receipt> {
  try {
    const outcomes = await inParallel<WriteOutcome>([
      ...labels.map(change => () => cluster.label(namespace, change)),
      ...routes.map(step => () => cluster.route(namespace, step)),
    ]);
    return { kind: outcomes.includes('outdated') ? 'refused' : 'tidied' };
  } catch (error) {
    if (error instanceof AbortedError) throw error;
    return { kind: 'failed', error };
  }
}

/** All of them are tried, whatever becomes of the others. */
async function inParallel<T>(tasks: readonly (() => Promise<T>)[]): Promise<readonly T[]> {
  const queue = tasks.values();
  const results: PromiseSettledResult<T>[] = [];
  const worker = async (): Promise<void> => {
    for (const task of queue) results.push(...(await Promise.allSettled([task()])));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results.map(result => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}
