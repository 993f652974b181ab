import { expect, test } from 'vitest';
import { consulError } from '../../../src/consul/errors.ts';
import { AbortedError } from '../../../src/core/errors.ts';
import type { Logger } from '../../../src/core/logger.ts';
import type { Tenure } from '../../../src/commit/tenure.ts';
import { createCandidate, leaseTiming } from '../../../src/election/index.ts';
import { Lead } from '../../../src/operator/lead.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { LockServer } from '../election/lock-server.ts';
import { consulFor, Process } from '../election/process.ts';

const LOCK = 'locks/lead';
const silent = (): void => {};
const logger = { debug: silent, info: silent, warn: silent, error: silent } as unknown as Logger;

/** A replica that leads as the operator does. */
class Replica {
  readonly world = new FakeClock();
  readonly server = new LockServer(() => this.world.monotonic());
  readonly stop = new AbortController();
  readonly tenures: Tenure[] = [];
  readonly fatal: unknown[] = [];
  readonly lead: Lead;
  isOver = false;

  constructor(work: (tenure: Tenure) => Promise<void>, openEpoch = () => Promise.resolve(1)) {
    const process = new Process(this.world, () => 0.5);
    const timing = { clock: process, random: () => 0.5, signal: this.stop.signal };
    this.lead = new Lead({
      ...timing,
      logger,
      candidate: () =>
        Promise.resolve(
          createCandidate({
            ...timing,
            consul: consulFor(process, this.server, this.world),
            lockKey: LOCK,
            node: 'virtual',
            name: 'one',
            timing: leaseTiming({ ttlSeconds: 20, lockDelaySeconds: 5 }),
            value: () => ({ holder: 'one', uid: 'u' }),
          }),
        ),
      openEpoch,
      work: tenure => {
        this.tenures.push(tenure);
        return work(tenure);
      },
      onFatal: error => this.fatal.push(error),
    });
    void this.lead.run().then(() => (this.isOver = true));
  }

  async pass(ms: number): Promise<void> {
    for (const untilMs = this.world.monotonic() + ms; this.world.monotonic() < untilMs; ) {
      await settled();
      this.world.advance(10);
      this.server.expire();
    }
    await settled();
  }
}

const untilItEnds = ({ signal }: Tenure): Promise<void> =>
  new Promise(resolve => signal.addEventListener('abort', () => resolve(), { once: true }));

test('work that is broken off ends its tenure, and the same replica leads again', async () => {
  const replica: Replica = new Replica(tenure =>
    replica.tenures.length === 1 ? Promise.reject(new AbortedError('a part of it')) : untilItEnds(tenure),
  );
  await replica.pass(2000);
  expect(replica).toMatchObject({ fatal: [], isOver: false });
  const [first, second] = replica.tenures;
  expect(first?.signal.aborted).toBe(true);
  expect(second?.fence.session).not.toBe(first?.fence.session);
  expect(replica.lead.tenure).toBe(second);
  expect(replica.server.entry(LOCK)?.session).toBe(second?.fence.session);
});

test('a tenure that cannot be opened in Kubernetes is given back, for another replica to try', async () => {
  const replica = new Replica(untilItEnds, () => Promise.reject(new Error('no Leases here')));
  await replica.pass(1000);
  const held = replica.server.entry(LOCK)?.session;
  expect(held).toBeDefined();
  await replica.pass(30_000);
  expect(replica.tenures).toEqual([]);
  expect(replica.server.sessions.has(held as NonNullable<typeof held>)).toBe(false);
  expect(replica.isOver).toBe(false);
});

test('one that resigned, even before it could campaign, stands for no election', async () => {
  const replica = new Replica(untilItEnds);
  await replica.lead.resign(new AbortController().signal);
  await replica.pass(5000);
  expect(replica).toMatchObject({ tenures: [], isOver: true });
  expect(replica.server.everMade).toEqual([]);
});

test('what Consul refuses for good ends no process: it may take it tomorrow', async () => {
  const replica: Replica = new Replica(tenure =>
    replica.tenures.length === 1
      ? Promise.reject(consulError('CONSUL_BAD_REQUEST', 'a proxy does not like it'))
      : untilItEnds(tenure),
  );
  await replica.pass(2000);
  expect(replica).toMatchObject({ fatal: [], isOver: false });
  expect(replica.tenures).toHaveLength(2);
});

test('a defect in the work is fatal', async () => {
  const replica = new Replica(() => Promise.reject(new TypeError('what is this')));
  await replica.pass(1000);
  expect(replica.fatal).toEqual([new TypeError('what is this')]);
  expect(replica.isOver).toBe(true);
});
