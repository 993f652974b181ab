/** How many transactions changes cost, and how long each of them waits for company, whenever they come. */
import { ROOT_CONTEXT } from '@opentelemetry/api';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { GroupCommit } from '../../../src/commit/group-commit.ts';
import type { WriteOperation } from '../../../src/commit/operations.ts';
import { createSoleTenure } from '../../support/sole-tenure.ts';
import type { ModifyIndex } from '../../../src/consul/types.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { ModelConsul } from '../../support/model-consul.ts';

/** One-key resources whose turns hand in two operations each: 64 fill a transaction. */
class Resources {
  readonly clock = new FakeClock();
  readonly consul = new ModelConsul();
  readonly waitedMs: number[] = [];
  readonly #tenure = createSoleTenure(this.consul.store);
  readonly #commits: GroupCommit;
  #made = 0;

  constructor(othersRunnable: () => boolean) {
    this.#commits = new GroupCommit({
      txn: this.consul.txn,
      clock: this.clock,
      othersRunnable,
      context: () => ROOT_CONTEXT,
      inSpan: (_turns, _operations, run) => run(),
    });
  }

  get transactions(): number {
    return this.consul.transactions.length;
  }

  /** Resolves once it is written. */
  async change(): Promise<void> {
    const n = this.#made++;
    const since = this.clock.monotonic();
    const operations = [operation(`data${n}`), operation(`record${n}`)];
    const owner = { kind: 'ConsulKV', namespace: 'shop', name: `r${n}` };
    const { kind } = await this.#commits.submit({ owner, operations }, this.#tenure);
    expect(kind).toBe('applied');
    this.waitedMs.push(this.clock.monotonic() - since);
  }

  /** Time goes by no faster than what happens in it. */
  async pass(ms: number): Promise<void> {
    await settled();
    let leftMs = ms;
    while (this.clock.timerCount > 0 && this.clock.nextTimerMs <= leftMs) {
      leftMs -= this.clock.nextTimerMs;
      this.clock.advance(this.clock.nextTimerMs);
      await settled();
    }
    this.clock.advance(leftMs);
    await settled();
  }

  /** A change after each gap, whatever became of those before; then time passes until all are written. */
  async stream(gapsMs: readonly number[]): Promise<void> {
    const changes: Promise<void>[] = [];
    for (const gapMs of gapsMs) {
      await this.pass(gapMs);
      changes.push(this.change());
    }
    await this.pass(2000);
    await Promise.all(changes);
  }

  /** A change after each gap, which begins when the one before is written. */
  async script(gapsMs: readonly number[]): Promise<void> {
    for (const gapMs of gapsMs) {
      await this.pass(gapMs);
      let isWritten = false;
      const change = this.change().then(() => {
        isWritten = true;
      });
      await settled();
      while (!isWritten) await this.pass(this.clock.nextTimerMs);
      await change;
    }
  }
}

function operation(key: string): WriteOperation {
  return { realm: 'data', verb: 'cas', key, value: Buffer.from('v'), flags: 0n, index: 0 as ModifyIndex };
}

function gaps(max: number, lengths: { readonly minLength: number; readonly maxLength: number }) {
  return fc.array(fc.nat(max), { ...lengths, size: 'max' });
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

test('while other turns run, a transaction is full, or 2 s old, or the last before a silence', async () => {
  await fc.assert(
    fc.asyncProperty(
      gaps(40, { minLength: 1, maxLength: 400 }),
      fc.array(fc.integer({ min: 250, max: 3000 }), { maxLength: 4 }),
      async (short, silences) => {
        const all = short.flatMap((gapMs, n) => [gapMs, ...(n % 90 === 89 ? silences.slice(0, 1) : [])]);
        const resources = new Resources(() => true);
        await resources.stream([...all, ...silences]);
        const made = [...all, ...silences];
        const quiet = made.filter(gapMs => gapMs >= 250).length;
        const bound = Math.floor(made.length / 64) + Math.floor(sum(made) / 2000) + quiet + 1;
        expect(resources.transactions).toBeLessThanOrEqual(bound);
      },
    ),
    { numRuns: 40 },
  );
}, 60_000);

test('no change waits for company longer than 2 s, whoever runs', async () => {
  const busy = fc.array(fc.boolean(), { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(gaps(600, { minLength: 1, maxLength: 150 }), busy, async (gapsMs, runs) => {
      let asked = 0;
      const resources = new Resources(() => runs[asked++ % runs.length] === true);
      await resources.stream(gapsMs);
      expect(resources.waitedMs).toHaveLength(gapsMs.length);
      expect(Math.max(...resources.waitedMs)).toBeLessThanOrEqual(2000);
    }),
    { numRuns: 40 },
  );
}, 60_000);

test('a stream of changes, each alone when it comes, costs a sixteenth of them and 16 to begin with', async () => {
  await fc.assert(
    fc.asyncProperty(gaps(120, { minLength: 1, maxLength: 600 }), async gapsMs => {
      const resources = new Resources(() => false);
      await resources.stream(gapsMs);
      expect(resources.transactions).toBeLessThanOrEqual(16 + Math.ceil(gapsMs.length / 16));
    }),
    { numRuns: 40 },
  );
}, 60_000);

test.each([
  { rate: 16, atMost: 64 },
  { rate: 28, atMost: 40 },
  { rate: 100, atMost: 32 },
  { rate: 1000, atMost: 32 },
])('1,000 changes that come one by one, $rate a second, cost at most $atMost', async ({ rate, atMost }) => {
  const resources = new Resources(() => false);
  await resources.stream(Array.from({ length: 1000 }, () => 1000 / rate));
  expect(resources.transactions).toBeLessThanOrEqual(atMost);
});

test('a script that waits for each of its changes waits for company with one in a hundred at most', async () => {
  await fc.assert(
    fc.asyncProperty(gaps(300, { minLength: 1, maxLength: 700 }), async gapsMs => {
      const resources = new Resources(() => false);
      await resources.script(gapsMs);
      const delayed = resources.waitedMs.filter(ms => ms > 0);
      expect(delayed.length).toBeLessThanOrEqual(Math.ceil(gapsMs.length / 100));
      expect(Math.max(0, ...delayed)).toBeLessThanOrEqual(250);
    }),
    { numRuns: 40 },
  );
}, 60_000);

test('a change in peace and quiet goes at once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1001, max: 9000 }), { maxLength: 60, size: 'max' }),
      async gapsMs => {
        const resources = new Resources(() => false);
        await resources.stream(gapsMs);
        expect(resources.waitedMs.every(ms => ms === 0)).toBe(true);
      },
    ),
    { numRuns: 40 },
  );
});
