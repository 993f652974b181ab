import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ResourceKey } from '../../../src/core/resource.ts';
import { PRIORITY, type Priority } from '../../../src/runtime/queue.ts';
import { aKey, aQueue, getNow } from './queue-harness.ts';
import { QueueModel } from './queue-model.ts';

type Real = ReturnType<typeof aQueue>;
type Command = fc.AsyncCommand<QueueModel, Real>;

const keys = ['x', 'y', 'z'].flatMap(namespace => ['1', '2', '3'].map(name => aKey(name, namespace)));
const anyKey = fc.constantFrom(...keys);
const anyPriority = fc.constantFrom<Priority>(...Object.values(PRIORITY));
const anyDelay = fc.constantFrom(0, 0, 1, 5, 200, 1_000);

/** What both sides answered to a step, for those that have an answer. */
interface Answers {
  readonly actual: unknown;
  readonly expected: unknown;
}

/** A step on both sides, after which they must look the same. */
function command(
  name: string,
  run: (model: QueueModel, real: Real) => Answers | void | Promise<Answers>,
): Command {
  return {
    check: () => true,
    toString: () => name,
    async run(model, real) {
      const answers = await run(model, real);
      expect(answers?.actual).toBe(answers?.expected);
      expect(real.queue.readyCount).toBe(model.readyCount);
      expect(real.queue.runningCount).toBe(model.running.size);
      expect(real.clock.timerCount).toBe(model.hasDelayed ? 1 : 0);
      expect([...real.metrics.depth.values()].reduce((sum, depth) => sum + depth, 0)).toBe(model.dueCount);
    },
  };
}

const add = fc.tuple(anyKey, anyPriority, anyDelay).map(([key, priority, afterMs]) =>
  command(`add(${key}, ${priority}, ${afterMs})`, (model, { queue }) => {
    model.add(key, priority, afterMs);
    queue.add(key, { priority, afterMs });
  }),
);

const retry = anyKey.map(key =>
  command(`retry(${key})`, (model, { queue }) => {
    model.retry(key);
    queue.retry(key);
    return { actual: queue.attempts(key), expected: model.failures.get(key) };
  }),
);

const forget = anyKey.map(key =>
  command(`forget(${key})`, (model, { queue }) => {
    model.failures.delete(key);
    queue.forget(key);
  }),
);

const get = fc.constant(
  command('get()', async (model, { queue }) => {
    const actual = await getNow(queue);
    return { actual, expected: model.handOut() };
  }),
);

const done = anyKey.map(key =>
  command(`done(${key})`, (model, { queue }) => {
    model.done(key);
    queue.done(key);
  }),
);

const advance = fc.constantFrom(1, 4, 200, 1_000).map(ms =>
  command(`advance(${ms})`, (model, { clock }) => {
    model.advance(ms);
    clock.advance(ms);
  }),
);

test('whatever happens to it, the queue hands out what a list searched from end to end would', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.commands([add, add, retry, forget, get, get, done, done, advance], {
        maxCommands: 120,
        size: 'max',
      }),
      async commands => {
        const [model, real] = [new QueueModel(), aQueue()];
        await fc.asyncModelRun(() => ({ model, real }), commands);
        const wanted = new Set(model.wanted);
        expect(await runEverything(model, real), 'keys lost').toEqual(wanted);
      },
    ),
    { numRuns: 200 },
  );
});

/** Lets every running key end and every waiting one have its turn; returns the keys that ran. */
async function runEverything(model: QueueModel, { queue, clock }: Real): Promise<Set<ResourceKey>> {
  for (const key of model.running.keys()) queue.done(key);
  const ran = new Set<ResourceKey>();
  clock.advance(300_000);
  for (let key = await getNow(queue); key !== undefined; key = await getNow(queue)) {
    expect(ran.has(key), `${key} ran twice for one wish`).toBe(false);
    ran.add(key);
    queue.done(key);
  }
  return ran;
}
