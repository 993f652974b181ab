/** Who writes on which nodes, so that none is removed under the hands of another turn of this process. */
export class NodeUse {
  readonly #writers = new Map<string, number>();
  readonly #removals = new Map<string, Promise<unknown>>();

  /** Runs what writes on these nodes; first waits for those that are being removed. */
  async write<T>(nodes: Iterable<string>, run: () => Promise<T>): Promise<T> {
    const names = [...new Set(nodes)];
    for (let removal = this.#removalOf(names); removal !== undefined; removal = this.#removalOf(names)) {
      await removal;
    }
    for (const name of names) this.#writers.set(name, (this.#writers.get(name) ?? 0) + 1);
    try {
      return await run();
    } finally {
      for (const name of names) this.#left(name);
    }
  }

  /** Runs what removes the node; undefined, and nothing is run, while somebody writes on it or removes it. */
  async remove<T>(name: string, run: () => Promise<T>): Promise<T | undefined> {
    if (this.#writers.has(name) || this.#removals.has(name)) return undefined;
    const removal = run();
    this.#removals.set(
      name,
      removal.catch(() => {}),
    );
    try {
      return await removal;
    } finally {
      this.#removals.delete(name);
    }
  }

  #removalOf(names: readonly string[]): Promise<unknown> | undefined {
    return names.map(name => this.#removals.get(name)).find(removal => removal !== undefined);
  }

  #left(name: string): void {
    const others = (this.#writers.get(name) ?? 1) - 1;
    if (others === 0) this.#writers.delete(name);
    else this.#writers.set(name, others);
  }
}
