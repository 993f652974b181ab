import type { ConsulKvs } from './consulkv.ts';
import type { World } from './world.ts';

const RESOURCES = 4;
/** A load, not a wait: so often the next resource changes. */
const CHANGE_EVERY_MS = 100;

/** A few resources that change all the time. */
export class ChangingKvs {
  readonly #world: World;
  readonly #kvs: ConsulKvs;
  readonly #values = new Map<string, string>();
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(world: World, kvs: ConsulKvs) {
    this.#world = world;
    this.#kvs = kvs;
  }

  get names(): readonly string[] {
    return Array.from({ length: RESOURCES }, (_, at) => `changing-${at}`);
  }

  /** What the resources say now. */
  get declared(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#values);
  }

  async declare(): Promise<void> {
    for (const name of this.names) {
      const value = 'value 0';
      await this.#kvs.declare(name, { key: this.#world.key(name), value });
      this.#values.set(name, value);
    }
  }

  start(): void {
    this.#isStopped = false;
    this.#running ??= this.#change();
  }

  /** Resolves when the last change has been declared. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    this.#running = undefined;
  }

  async #change(): Promise<void> {
    for (let count = 1; !this.#isStopped; count += 1) {
      const name = this.names[count % RESOURCES] as string;
      const value = `value ${count} at ${Date.now()}`;
      await this.#kvs.change(name, { value });
      this.#values.set(name, value);
      await new Promise(resolve => setTimeout(resolve, CHANGE_EVERY_MS));
    }
  }
}
