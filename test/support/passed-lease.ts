import { expect } from 'vitest';
import { eventually } from './eventually.ts';
import { Leases } from './leases.ts';
import type { World } from './world.ts';

const NAME = 'passed';
const PODS = [`${NAME}-a`, `${NAME}-b`] as const;
/** A load, not a wait: so often the other Pod gets it. */
const PASS_EVERY_MS = 1_000;

/** A lease that goes from one Pod to the other all the time, with a Service that follows. */
export class PassedLease {
  readonly #leases: Leases;
  #holder: string = PODS[0];
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(world: World) {
    this.#leases = new Leases(world);
  }

  async declare(): Promise<void> {
    await this.#leases.readyPods(NAME, [this.#holder]);
    await this.#leases.createPod(NAME, PODS[1]);
    const service = { name: NAME, ports: [{ port: 80, targetPort: 'http' }] };
    await this.#leases.declare(NAME, { service, session: { lockDelay: '0s' } });
  }

  start(): void {
    this.#isStopped = false;
    this.#running ??= this.#pass();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    this.#running = undefined;
  }

  /** Resolves once the one Pod that is Ready holds it, everything says so, and no other session is left. */
  async settled(): Promise<void> {
    await this.#leases.ledBy(NAME, this.#holder);
    const what = `nothing but the lease of ${this.#holder} is left`;
    await eventually(
      async () => {
        expect(await this.#leases.endpoints(NAME)).toEqual([this.#holder]);
        const holders = await this.#leases.holders(NAME);
        expect(await this.#leases.sessionsOf(NAME)).toEqual(holders.map(({ sessionID }) => sessionID));
      },
      { what },
    );
  }

  async #pass(): Promise<void> {
    while (!this.#isStopped) {
      const next = PODS.find(pod => pod !== this.#holder) as string;
      await this.#leases.setReady(next, true);
      await this.#leases.setReady(this.#holder, false);
      this.#holder = next;
      await new Promise(resolve => setTimeout(resolve, PASS_EVERY_MS));
    }
  }
}
