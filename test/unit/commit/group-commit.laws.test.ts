/** What holds of every unit, whatever else is committed at the same time and whatever Consul answers. */
import { ROOT_CONTEXT } from '@opentelemetry/api';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { GroupCommit } from '../../../src/commit/group-commit.ts';
import {
  CLAIMS_KEY,
  placeOf,
  type UnitOutcome,
  type WriteOperation,
} from '../../../src/commit/operations.ts';
import { type ConsulErrorCode, consulError } from '../../../src/consul/errors.ts';
import type { ModifyIndex } from '../../../src/consul/types.ts';
import { RetryableError } from '../../../src/core/errors.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { ModelConsul } from '../../support/model-consul.ts';
import { aTenure, LOCK, SESSION } from './tenures.ts';

interface Wanted {
  /** Keys by number; negative ones are adopted, with the claims key. */
  readonly keys: readonly number[];
  /** Whether it believes what is right. */
  readonly stale: boolean;
  readonly bytes: number;
  readonly tenure: number;
}

const wanted: fc.Arbitrary<Wanted> = fc.record({
  keys: fc.uniqueArray(fc.nat(9), { minLength: 1, maxLength: 4 }),
  stale: fc.boolean(),
  bytes: fc.oneof({ weight: 5, arbitrary: fc.nat(40) }, fc.constant(120_000), fc.constant(400_000)),
  tenure: fc.nat(1),
});

type Step =
  | { readonly kind: 'submit'; readonly unit: Wanted }
  | { readonly kind: 'time' | 'nudge' | 'outside edit' | 'lose lock' };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: wanted.map(unit => ({ kind: 'submit' as const, unit })) },
  { weight: 3, arbitrary: fc.constantFrom('time', 'nudge', 'outside edit').map(kind => ({ kind }) as Step) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'lose lock' }) },
);

const fault = fc.option(
  fc.constantFrom<ConsulErrorCode>(
    'CONSUL_TIMEOUT',
    'CONSUL_BAD_REQUEST',
    'CONSUL_RATE_LIMITED',
    'CONSUL_TOO_LARGE',
  ),
  { nil: undefined, freq: 4 },
);

interface Submitted {
  readonly values: readonly string[];
  readonly operations: readonly WriteOperation[];
  readonly end: Promise<UnitOutcome>;
  ends: number;
}

test('every unit ends once, is written as a whole or not at all, and is told the truth about it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 30 }),
      fc.array(fault, { maxLength: 12 }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
      async (steps, faults, busy) => {
        const consul = new ModelConsul();
        const clock = new FakeClock();
        consul.store.acquire(LOCK, SESSION);
        let asked = 0;
        const commits = new GroupCommit({
          txn: consul.txn,
          clock,
          othersRunnable: () => busy[asked++ % busy.length] ?? false,
          context: () => ROOT_CONTEXT,
          inSpan: (_turns, _operations, run) => run(),
        });
        const queue = [...faults];
        consul.beforeWrite = async () => {
          await settled();
          const code = queue.shift();
          if (code !== undefined && code !== 'CONSUL_TIMEOUT') throw consulError(code, 'no');
          lostAnswer = code;
        };
        let lostAnswer: ConsulErrorCode | undefined;
        consul.afterWrite = () => {
          if (lostAnswer !== undefined) throw consulError(lostAnswer, 'lost', { outcomeUnknown: true });
        };

        const tenures = [aTenure(1), aTenure(2)] as const;
        const submitted: Submitted[] = [];
        const submit = (unit: Wanted, number: number): void => {
          const operations = operationsOf(unit, number, consul);
          const held = tenures[unit.tenure as 0 | 1];
          const owner = { kind: 'ConsulKV', namespace: 'shop', name: `r${number}` };
          const end = commits.submit({ owner, operations }, held);
          const values = operations.flatMap(op =>
            'value' in op && op.key !== CLAIMS_KEY ? [op.value.toString()] : [],
          );
          const entry: Submitted = { values, operations, end, ends: 0 };
          void end.catch(() => {}).then(() => entry.ends++);
          submitted.push(entry);
        };

        for (const [number, each] of steps.entries()) {
          if (each.kind === 'submit') submit(each.unit, number);
          else if (each.kind === 'time') clock.advance(250);
          else if (each.kind === 'nudge') commits.nudge();
          else if (each.kind === 'outside edit') consul.store.put(`k${number % 10}`, `outside ${number}`);
          else consul.store.put(LOCK, 'lost', 0n);
          if (number % 3 === 0) await settled();
        }
        const all = Promise.allSettled(submitted.map(({ end }) => end));
        for (let waits = 0; submitted.some(({ ends }) => ends === 0); waits++) {
          if (waits > 400)
            throw new Error(`${submitted.filter(({ ends }) => ends === 0).length} units never end`);
          clock.advance(250);
          await settled();
        }
        const ends = await all;

        const committed = consul.transactions.filter(({ applied }) => applied);
        for (const [number, { values, operations, ends: times }] of submitted.entries()) {
          const end = ends[number] as PromiseSettledResult<UnitOutcome>;
          const carrying = committed.filter(transaction =>
            transaction.operations.some(({ Value = '' }) =>
              values.includes(Buffer.from(Value, 'base64').toString()),
            ),
          );
          expect(times).toBe(1);
          expect(carrying.length).toBeLessThanOrEqual(1);
          const isWritten = carrying.length === 1;
          if (isWritten) {
            const keys = carrying[0]?.operations.map(({ Key }) => Key) ?? [];
            for (const operation of operations) expect(keys).toContain(placeOf(operation));
            expect(keys[0]).toBe(LOCK);
          }
          if (end.status === 'fulfilled') expect(end.value.kind === 'applied').toBe(isWritten);
          else if (!(end.reason instanceof RetryableError && end.reason.outcomeUnknown))
            expect(isWritten).toBe(false);
        }
        for (const { operations, bytes } of consul.transactions) {
          expect(operations.length).toBeLessThanOrEqual(128);
          expect(bytes).toBeLessThanOrEqual(500_000);
        }
        expect(commits.waiting).toBe(0);
        expect(clock.timerCount).toBe(0);
      },
    ),
    { numRuns: 80 },
  );
}, 60_000);

/** Values tell the units apart. */
function operationsOf({ keys, stale, bytes }: Wanted, number: number, consul: ModelConsul): WriteOperation[] {
  const at = (key: string): ModifyIndex => {
    const now = consul.store.get(key)?.modifyIndex ?? 0;
    return (stale ? now + 1 : now) as ModifyIndex;
  };
  const cas = (realm: 'data' | 'record', key: string, value: string): WriteOperation => ({
    realm,
    verb: 'cas',
    key,
    value: Buffer.from(value),
    flags: 0n,
    index: at(key),
  });
  const claim = number % 4 === 0 ? [cas('record', CLAIMS_KEY, `after ${at(CLAIMS_KEY)}`)] : [];
  return [
    ...claim,
    ...keys.map(key => cas('data', `k${key}`, `unit ${number} key ${key} ${'x'.repeat(bytes)}`)),
  ];
}
