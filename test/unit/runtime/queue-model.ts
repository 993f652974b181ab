import { type ResourceKey, resourceRef } from '../../../src/core/resource.ts';
import type { Priority } from '../../../src/runtime/queue.ts';

interface Wish {
  readonly key: ResourceKey;
  priority: Priority;
  dueAtMs: number;
  /** Orders those that come due at the same time. */
  since: number;
}

/** The queue as plain lists that are searched from end to end: slow, and short enough to be seen to be right. */
export class QueueModel {
  nowMs = 0;
  readonly running = new Map<ResourceKey, Priority>();
  readonly failures = new Map<ResourceKey, number>();
  readonly #waiting: Wish[] = [];
  /** Keys that may be handed out, by arrival, and for each priority the namespaces by turn. */
  readonly #ready: Wish[] = [];
  readonly #round = new Map<Priority, string[]>();
  #clock = 0;

  get readyCount(): number {
    return this.#ready.length;
  }

  get dueCount(): number {
    return this.#ready.length + this.#waiting.filter(wish => wish.dueAtMs <= this.nowMs).length;
  }

  get wanted(): readonly ResourceKey[] {
    return [...this.#ready, ...this.#waiting].map(wish => wish.key);
  }

  get hasDelayed(): boolean {
    return this.#waiting.some(wish => wish.dueAtMs > this.nowMs);
  }

  add(key: ResourceKey, priority: Priority, afterMs: number): void {
    const dueAtMs = this.nowMs + afterMs;
    const before = [...this.#ready, ...this.#waiting].find(wish => wish.key === key);
    if (before !== undefined && before.priority >= priority && before.dueAtMs <= dueAtMs) return;
    this.#drop(key);
    this.#waiting.push({
      key,
      priority: Math.max(before?.priority ?? priority, priority) as Priority,
      dueAtMs: Math.min(before?.dueAtMs ?? dueAtMs, dueAtMs),
      since: this.#clock++,
    });
    this.#promote();
  }

  retry(key: ResourceKey): void {
    const failures = this.failures.get(key) ?? 0;
    this.failures.set(key, failures + 1);
    this.add(key, this.running.get(key) ?? 0, Math.min(300_000, 200 * 2 ** failures));
  }

  advance(ms: number): void {
    this.nowMs += ms;
    this.#promote();
  }

  /** The next key to be handed out, which then runs. */
  handOut(): ResourceKey | undefined {
    const priority = this.#ready.map(wish => wish.priority).sort((x, y) => y - x)[0];
    if (priority === undefined) return undefined;
    const namespace = this.#round.get(priority)?.[0];
    const wish = this.#ready.find(one => one.priority === priority && namespaceOf(one) === namespace);
    if (wish === undefined) throw new Error('the model lost count');
    this.#drop(wish.key);
    const round = this.#round.get(priority) ?? [];
    if (round[0] === namespace) round.push(round.shift() as string);
    this.running.set(wish.key, priority);
    return wish.key;
  }

  done(key: ResourceKey): void {
    this.running.delete(key);
    this.#promote();
  }

  #promote(): void {
    const due = this.#waiting
      .filter(wish => wish.dueAtMs <= this.nowMs && !this.running.has(wish.key))
      .sort((x, y) => x.dueAtMs - y.dueAtMs || x.since - y.since);
    for (const wish of due) {
      this.#waiting.splice(this.#waiting.indexOf(wish), 1);
      this.#ready.push(wish);
      const round = this.#round.get(wish.priority) ?? [];
      if (!round.includes(namespaceOf(wish))) round.push(namespaceOf(wish));
      this.#round.set(wish.priority, round);
    }
  }

  #drop(key: ResourceKey): void {
    for (const list of [this.#ready, this.#waiting]) {
      const index = list.findIndex(wish => wish.key === key);
      if (index >= 0) list.splice(index, 1);
    }
    for (const [priority, round] of this.#round) {
      const present = new Set(this.#ready.filter(wish => wish.priority === priority).map(namespaceOf));
      this.#round.set(
        priority,
        round.filter(namespace => present.has(namespace)),
      );
    }
  }
}

function namespaceOf(wish: Wish): string {
  return resourceRef(wish.key).namespace;
}
