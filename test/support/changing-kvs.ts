import type { ConsulKvs } from './consulkv.ts';
import type { World } from './world.ts';

const RESOURCES = 4;
/** Every so many changes the one resource that comes and goes does both: a new one is declared, the last one deleted. */
const PASSING_EVERY = 5;
/** A load, not a wait: so often the next resource changes. */
const CHANGE_EVERY_MS = 100;

/** A few resources that change all the time, and one that comes and goes. */
export class ChangingKvs {
  readonly #world: World;
  readonly #kvs: ConsulKvs;
  readonly #values = new Map<string, string>();
  #passing: string | undefined;
  #passed = 0;
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(world: World, kvs: ConsulKvs) {
    this.#world = world;
    this.#kvs = kvs;
  }

  get names(): readonly string[] {
    return [...this.#values.keys()];
  }

  /** What the resources say now. */
  get declared(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#values);
  }

  async declare(): Promise<void> {
    for (let at = 0; at < RESOURCES; at += 1) await this.#declare(nameOf(at), 'value 0');
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

  /** While stopped: every resource once, at the same time. */
  async changeAll(): Promise<void> {
    const value = `together at ${Date.now()}`;
    await Promise.all(this.names.map(name => this.#changeOne(name, value)));
  }

  async #change(): Promise<void> {
    for (let count = 1; !this.#isStopped; count += 1) {
      const value = `value ${count} at ${Date.now()}`;
      if (count % PASSING_EVERY === 0) await this.#pass(value);
      else await this.#changeOne(nameOf(count % RESOURCES), value);
      await new Promise(resolve => setTimeout(resolve, CHANGE_EVERY_MS));
    }
  }

  async #changeOne(name: string, value: string): Promise<void> {
    await this.#kvs.change(name, { value });
    this.#values.set(name, value);
  }

  /** Of another name each time, for a deletion is not waited for. */
  async #pass(value: string): Promise<void> {
    const last = this.#passing;
    this.#passed += 1;
    this.#passing = `passing-${this.#passed}`;
    await this.#declare(this.#passing, value);
    if (last === undefined) return;
    await this.#world.kube.delete(this.#kvs.object(last));
    this.#values.delete(last);
  }

  async #declare(name: string, value: string): Promise<void> {
    await this.#kvs.declare(name, { key: this.#world.key(name), value });
    this.#values.set(name, value);
  }
}

function nameOf(at: number): string {
  return `changing-${at}`;
}
