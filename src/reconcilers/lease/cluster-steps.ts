import type { ResourceRef } from '../../core/resource.ts';
import type { Receipt } from '../../runtime/kind.ts';
import type { LeaseCluster, PodLabels, WriteOutcome } from './cluster.ts';
import { LEADS, type LabelStep, planLabels } from './labels.ts';
import type { LeaseMemory } from './memory.ts';
import type { LeaseObservation, LeaseSubject } from './observe.ts';
import type { RouteStep } from './routing.ts';

/** What is to be done in Kubernetes; in no order. */
export interface ClusterSteps {
  /** One for each Pod: two writes at once would stand in each other's way. */
  readonly labels: readonly PodLabels[];
  readonly routes: readonly RouteStep[];
}

/** Writes of one lease at a time. */
const AT_ONCE = 4;

/** What keeps labels and Service from showing who leads; undefined: nothing. */
export function planCluster(
  { ref, resource, deleting }: LeaseSubject,
  { wish, pods, routing }: LeaseObservation,
  cluster: LeaseCluster,
  memory: LeaseMemory,
): ClusterSteps | undefined {
  if (resource === undefined || wish === undefined) return undefined;
  const { namespace } = ref;
  const label = wish.settings.leaderLabel;
  const labels = planLabels({
    label,
    formerLabel: resource.status.effective?.leaderLabel,
    holders: deleting ? [] : pods.leading,
    pods: pods.matching,
    former: memory.formerHolders(ref, resource.status),
    isLedElsewhere: (pod, one) => cluster.isLedElsewhere(ref, pod, one),
  }).filter(step => isNeeded(step, cluster, namespace));
  const routes = routing.kind === 'steps' ? routing.steps : [];
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

export interface ClusterApplierOptions {
  readonly cluster: LeaseCluster;
  readonly memory: LeaseMemory;
}

/** Carries out the Kubernetes side of a plan. */
export class ClusterApplier {
  readonly #options: ClusterApplierOptions;

  constructor(options: ClusterApplierOptions) {
    this.#options = options;
  }

  /** `refused`: something changed since it was read, and is known by now. @throws what stopped the first that failed. */
  async apply(ref: ResourceRef, { labels, routes }: ClusterSteps): Promise<Receipt> {
    const outcomes = await inParallel<WriteOutcome>([
      ...labels.map(step => () => this.#label(ref, step)),
      ...routes.map(step => () => this.#options.cluster.route(ref.namespace, step)),
    ]);
    return { kind: outcomes.includes('outdated') ? 'refused' : 'tidied' };
  }

  async #label(ref: ResourceRef, change: PodLabels): Promise<WriteOutcome> {
    const { cluster, memory } = this.#options;
    const isPut = Object.values(change.labels).includes(LEADS);
    // Before it is sent: whether or not an answer comes, the label has to come off one day.
    if (isPut) memory.labelled(ref, change.pod, true);
    const outcome = await cluster.label(ref.namespace, change);
    if (!isPut && outcome === 'done') memory.labelled(ref, change.pod, false);
    return outcome;
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
