import { type ResourceKey, resourceKey } from '../../../src/core/resource.ts';
import { type Priority, type QueueMetrics, WorkQueue } from '../../../src/runtime/queue.ts';
import { FakeClock } from '../../support/fake-clock.ts';

export function aKey(name: string, namespace = 'shop'): ResourceKey {
  return resourceKey({ kind: 'ConsulKV', namespace, name });
}

/** Adds up what the queue reports. */
export class CountingMetrics implements QueueMetrics {
  readonly depth = new Map<Priority, number>();
  readonly waitedMs: number[] = [];
  readonly workedMs: number[] = [];
  addedCount = 0;
  delayedCount = 0;

  added(): void {
    this.addedCount++;
  }

  depthChanged(priority: Priority, change: 1 | -1): void {
    this.depth.set(priority, (this.depth.get(priority) ?? 0) + change);
  }

  delayed(): void {
    this.delayedCount++;
  }

  handedOut(ms: number): void {
    this.waitedMs.push(ms);
  }

  finished(ms: number): void {
    this.workedMs.push(ms);
  }
}

/** A queue on a clock that stands still. `random` 1 makes every backoff its upper bound. */
export function aQueue({ random = 1 } = {}) {
  const clock = new FakeClock();
  const metrics = new CountingMetrics();
  const queue = new WorkQueue({ clock, metrics, random: () => random });
  return { clock, metrics, queue };
}

/** What `get` gives at once, or undefined if it would have waited. */
export function getNow(queue: WorkQueue): Promise<ResourceKey | undefined> {
  const impatience = new AbortController();
  const got = queue.get(impatience.signal);
  impatience.abort();
  return got;
}

/** Everything that is ready, in the order of hand-out, each given back before the next is asked for. */
export async function drainReady(queue: WorkQueue): Promise<ResourceKey[]> {
  const keys: ResourceKey[] = [];
  for (let key = await getNow(queue); key !== undefined; key = await getNow(queue)) {
    keys.push(key);
    queue.done(key);
  }
  return keys;
}
