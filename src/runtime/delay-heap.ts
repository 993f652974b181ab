/** A value in the heap; the heap keeps `index` current, so that removal needs no search. */
export interface DelayEntry<T> {
  readonly dueAtMs: number;
  readonly sequence: number;
  readonly value: T;
  index: number;
}

/**
 * Values by the time they are due, earliest first; those due at the same time in the order they came. A binary
 * heap: adding, taking and removing cost O(log n), and a removed value leaves nothing behind.
 */
export class DelayHeap<T> {
  readonly #entries: DelayEntry<T>[] = [];
  #sequence = 0;

  get earliestMs(): number | undefined {
    return this.#entries[0]?.dueAtMs;
  }

  push(dueAtMs: number, value: T): DelayEntry<T> {
    const entry = { dueAtMs, sequence: this.#sequence++, value, index: this.#entries.length };
    this.#entries.push(entry);
    this.#rise(entry);
    return entry;
  }

  /** The earliest value if it is due at `nowMs`. */
  takeDue(nowMs: number): T | undefined {
    const earliest = this.#entries[0];
    if (earliest === undefined || earliest.dueAtMs > nowMs) return undefined;
    this.remove(earliest);
    return earliest.value;
  }

  /** `entry` must still be in this heap. */
  remove(entry: DelayEntry<T>): void {
    const last = this.#entries.pop();
    if (last === undefined || last === entry) return;
    this.#put(last, entry.index);
    this.#rise(last);
    this.#sink(last);
  }

  #rise(entry: DelayEntry<T>): void {
    for (;;) {
      const parent = this.#entries[(entry.index - 1) >> 1];
      if (parent === undefined || !isBefore(entry, parent)) return;
      this.#swap(entry, parent);
    }
  }

  #sink(entry: DelayEntry<T>): void {
    for (;;) {
      const child = this.#earlierChild(entry.index);
      if (child === undefined || !isBefore(child, entry)) return;
      this.#swap(entry, child);
    }
  }

  #earlierChild(index: number): DelayEntry<T> | undefined {
    const left = this.#entries[2 * index + 1];
    const right = this.#entries[2 * index + 2];
    if (left === undefined || right === undefined) return left;
    return isBefore(right, left) ? right : left;
  }

  #swap(a: DelayEntry<T>, b: DelayEntry<T>): void {
    const { index } = a;
    this.#put(a, b.index);
    this.#put(b, index);
  }

  #put(entry: DelayEntry<T>, index: number): void {
    this.#entries[index] = entry;
    entry.index = index;
  }
}

function isBefore<T>(a: DelayEntry<T>, b: DelayEntry<T>): boolean {
  return a.dueAtMs === b.dueAtMs ? a.sequence < b.sequence : a.dueAtMs < b.dueAtMs;
}
