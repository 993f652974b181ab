import { beforeEach, describe, expect, test } from 'vitest';
import type { CheckResult } from '../../../../src/consul/registration.ts';
import { type CheckPlace, checkPlace } from '../../../../src/consul/service-ids.ts';
import { type BookedCheck, HealthBook } from '../../../../src/reconcilers/service/health-book.ts';
import type { ProbeOutcome, ProbeSpec } from '../../../../src/probes/spec.ts';
import { FakeClock, settled } from '../../../support/fake-clock.ts';

const WEB = { kind: 'ConsulService', namespace: 'shop', name: 'web' };
const API = { kind: 'ConsulService', namespace: 'shop', name: 'api' };
const [A, B] = ['a', 'b'].map(id => checkPlace('n', id)) as [CheckPlace, CheckPlace];

let clock: FakeClock;
let answers: (host: string) => ProbeOutcome | 'hangs';
let told: string[];
let found: string[];
let unknown: string[];
let runs: string[];
let held: unknown[];
let book: HealthBook;
beforeEach(() => {
  clock = new FakeClock();
  answers = () => ({ status: 'passing', output: 'ok' });
  [told, found, unknown, runs, held] = [[], [], [], [], []];
  book = new HealthBook({
    clock,
    random: () => 0,
    probe: async ({ host }, signal) => {
      runs.push(host);
      const answer = answers(host);
      if (answer !== 'hangs') return answer;
      await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }));
      throw new Error('aborted');
    },
    onRun: status => void found.push(status),
    onUnknown: ({ name }, place, why) => void unknown.push(`${name} ${place}: ${why}`),
    onHeld: all => void held.push(all),
  });
  book.onChange(({ name }) => void told.push(name));
});

const spec = (host: string, fields: Partial<ProbeSpec> = {}): ProbeSpec => ({
  target: { kind: 'tcp', host, port: 80 },
  intervalMs: 1_000,
  timeoutMs: 500,
  thresholds: { successBeforePassing: 1, failuresBeforeCritical: 1 },
  ...fields,
});
const booked = (place: CheckPlace, stored?: CheckResult, fields: Partial<ProbeSpec> = {}): BookedCheck => ({
  place,
  spec: spec(place, fields),
  stored,
  reapAfterMs: undefined,
});
const mortal = (place: CheckPlace, stored?: CheckResult): BookedCheck => ({
  ...booked(place, stored),
  reapAfterMs: 60_000,
});
const says = (status: 'passing' | 'warning' | 'critical' | 'unknown') => {
  answers = () => ({ status, output: `is ${status}` });
};

async function pass(ms: number): Promise<void> {
  const untilMs = clock.monotonic() + ms;
  await settled();
  while (clock.timerCount > 0 && clock.monotonic() + clock.nextTimerMs <= untilMs) {
    clock.advance(clock.nextTimerMs);
    await settled();
  }
  clock.advance(untilMs - clock.monotonic());
}

test('a result is told to the resource that declares the check, once, and read by its place', async () => {
  book.sync(WEB, [booked(A)]);
  book.sync(API, [booked(B)]);
  expect(book.verdict(A)).toBeUndefined();
  answers = host => ({ status: host === A ? 'passing' : 'critical', output: 'so' });
  await pass(2_500);
  expect(told).toEqual(['web', 'api']);
  expect([book.verdict(A), book.verdict(B)]).toEqual([
    { status: 'passing', output: 'so' },
    { status: 'critical', output: 'so' },
  ]);
  expect(found.length).toBe(6);
});

test('what was stored stands until the thresholds are crossed', async () => {
  const stored = { status: 'passing', output: 'before' } as const;
  const thresholds = { successBeforePassing: 1, failuresBeforeCritical: 3 };
  book.sync(WEB, [booked(A, stored, { thresholds })]);
  expect(book.verdict(A)).toEqual(stored);
  says('critical');
  await pass(1_999);
  expect([book.verdict(A), told]).toEqual([stored, []]);
  await pass(1);
  expect([book.verdict(A)?.status, told]).toEqual(['critical', ['web']]);
});

test('to sync the same again disturbs nothing: neither the cadence nor what is known', async () => {
  book.sync(WEB, [booked(A)]);
  await pass(500);
  book.sync(WEB, [booked(A, { status: 'critical', output: 'old' })]);
  await pass(499);
  expect(runs.length).toBe(1);
  await pass(1);
  expect(runs.length).toBe(2);
  expect([book.verdict(A)?.status, book.criticalForMs(A)]).toEqual(['passing', undefined]);
});

test('a check that is left out ends, and is not known any more', async () => {
  book.sync(WEB, [booked(A), booked(B)]);
  await pass(100);
  book.sync(WEB, [booked(B)]);
  expect([book.verdict(A), book.size]).toEqual([undefined, 1]);
  book.forget(WEB);
  await pass(5_000);
  expect([book.size, runs.length, clock.timerCount]).toEqual([0, 2, 0]);
});

test('a check that another resource took over goes on when the first lets go of it', async () => {
  book.sync(WEB, [booked(A)]);
  await pass(0);
  book.sync(API, [booked(A)]);
  book.forget(WEB);
  says('critical');
  await pass(5_000);
  expect([told, book.verdict(A)?.status]).toEqual([['web', 'api'], 'critical']);
});

describe('how long a check has been critical', () => {
  test('counts from when that was first seen here', async () => {
    book.sync(WEB, [booked(A)]);
    says('critical');
    await pass(2_700);
    expect(book.criticalForMs(A)).toBe(2_700);
    says('warning');
    await pass(300);
    expect(book.criticalForMs(A)).toBeUndefined();
    says('critical');
    await pass(1_500);
    expect(book.criticalForMs(A)).toBe(500);
  });

  test('counts from the beginning for what was stored as critical', async () => {
    book.sync(WEB, [booked(A, { status: 'critical', output: '' })]);
    says('critical');
    await pass(1_500);
    expect([book.criticalForMs(A), told]).toEqual([1_500, []]);
  });

  test('is not counted for a check that never ran', () => {
    book.sync(WEB, [booked(A)]);
    expect(book.criticalForMs(A)).toBeUndefined();
  });

  test('is forgotten with the check', async () => {
    says('critical');
    book.sync(WEB, [booked(A, { status: 'critical', output: '' })]);
    await pass(500);
    book.forget(WEB);
    expect(book.criticalForMs(A)).toBeUndefined();
    book.sync(WEB, [booked(A, { status: 'critical', output: '' })]);
    expect(book.criticalForMs(A)).toBe(0);
  });
});

test('a run that taught nothing is told with its resource, and changes nothing', async () => {
  says('unknown');
  book.sync(WEB, [booked(A)]);
  await pass(500);
  expect([unknown, told, found]).toEqual([[`web ${A}: is unknown`], [], ['unknown']]);
  expect(book.verdict(A)).toBeUndefined();
});

describe('at the end of a tenure', () => {
  test('everything ends and is forgotten, also a run under way', async () => {
    answers = () => 'hangs';
    book.sync(WEB, [booked(A, { status: 'critical', output: 'x' })]);
    await pass(100);
    await book.stop();
    await pass(5_000);
    expect([told, runs.length, book.size]).toEqual([[], 1, 0]);
    expect([book.verdict(A), book.criticalForMs(A)]).toEqual([undefined, undefined]);
  });

  test('the next one begins with what is stored then', async () => {
    book.sync(WEB, [booked(A)]);
    await pass(100);
    await book.stop();
    book.sync(WEB, [booked(A, { status: 'critical', output: 'stored' })]);
    expect([book.verdict(A)?.status, book.criticalForMs(A)]).toEqual(['critical', 0]);
    await pass(100);
    expect([book.verdict(A)?.status, told]).toEqual(['passing', ['web', 'web']]);
  });
});

test('what waits for a place is counted', async () => {
  answers = () => 'hangs';
  const checks = Array.from({ length: 100 }, (_, at) => booked(checkPlace('n', `c-${at}`)));
  book.sync(WEB, checks);
  await pass(400);
  // Of the half of the places that is for targets that were never asked, one resource has a quarter.
  expect([book.size, runs.length, book.waiting]).toEqual([100, 16, 84]);
});

test('the targets of one resource that hang keep no other resource waiting', async () => {
  answers = host => (host.includes('/c-') ? 'hangs' : { status: 'passing', output: 'ok' });
  const checks = Array.from({ length: 512 }, (_, at) =>
    booked(checkPlace('n', `c-${at}`), undefined, { timeoutMs: 600_000 }),
  );
  book.sync(WEB, checks);
  await pass(2_000);
  book.sync(API, [booked(A)]);
  await pass(0);
  expect([told, book.verdict(A)?.status]).toEqual([['api'], 'passing']);
});

describe('what was stored and turns out to be old', () => {
  const passing = { status: 'passing', output: 'as a standby had it' } as const;
  const critical = { status: 'critical', output: 'as the old leader wrote it' } as const;

  test('gives way until the check has run here: nothing is turned back', async () => {
    says('unknown');
    book.sync(WEB, [booked(A, passing)]);
    await pass(700);
    book.sync(WEB, [booked(A, critical)]);
    expect([book.verdict(A), book.criticalForMs(A)]).toEqual([critical, 0]);
    await pass(100);
    book.sync(WEB, [booked(A, { ...critical, output: 'the same' })]);
    expect(book.criticalForMs(A)).toBe(100);
    book.sync(WEB, [booked(A, passing)]);
    expect([book.verdict(A), book.criticalForMs(A)]).toEqual([passing, undefined]);
  });

  test('is looked at no more once the check has run here', async () => {
    says('critical');
    book.sync(WEB, [booked(A)]);
    await pass(700);
    book.sync(WEB, [booked(A, passing)]);
    expect([book.verdict(A)?.status, book.criticalForMs(A)]).toEqual(['critical', 700]);
  });
});

describe('a check whose target goes up and down', () => {
  const flapping = () => {
    let run = 0;
    answers = () => ({ status: run++ % 2 === 0 ? 'passing' : 'critical', output: `run ${run}` });
  };

  test('is news once in 5 s at most, and then as it is', async () => {
    flapping();
    book.sync(WEB, [booked(A, undefined, { intervalMs: 100 })]);
    await pass(4_999);
    expect([told.length, book.verdict(A)?.output]).toEqual([1, 'run 1']);
    await pass(60_000);
    expect(told.length).toBeLessThanOrEqual(14);
    expect(told.length).toBeGreaterThan(1);
  });

  test('is no news when it is as it was', async () => {
    book.sync(WEB, [booked(A)]);
    await pass(500);
    says('critical');
    await pass(1_000);
    says('passing');
    await pass(30_000);
    expect([told, book.verdict(A)?.status]).toEqual([['web'], 'passing']);
  });

  test('is news at once when it was long the same', async () => {
    book.sync(WEB, [booked(A)]);
    await pass(7_500);
    says('critical');
    await pass(500);
    expect([told, book.verdict(A)?.status]).toEqual([['web', 'web'], 'critical']);
  });

  test('says nothing any more when it has ended', async () => {
    flapping();
    book.sync(WEB, [booked(A), booked(B)]);
    await pass(1_500);
    book.sync(WEB, [booked(B)]);
    await book.stop();
    const before = told.length;
    await pass(30_000);
    expect([told.length, clock.timerCount, book.verdict(A)]).toEqual([before, 0, undefined]);
  });
});

describe('how long a check has been critical begins anew', () => {
  beforeEach(async () => {
    says('critical');
    book.sync(WEB, [mortal(A)]);
    await pass(3_000);
    expect(book.criticalForMs(A)).toBe(3_000);
  });

  test('with another target', () => {
    book.sync(WEB, [{ ...mortal(A), spec: spec('elsewhere') }]);
    expect([book.criticalForMs(A), book.verdict(A)?.status]).toEqual([0, 'critical']);
  });

  test('with anything else that is declared of it', () => {
    const thresholds = { successBeforePassing: 1, failuresBeforeCritical: 2 };
    book.sync(WEB, [{ ...mortal(A), spec: spec(A, { thresholds }) }]);
    expect(book.criticalForMs(A)).toBe(0);
  });

  test('when its instance has been taken out and stands again', async () => {
    book.sync(WEB, [{ ...mortal(A), reapAfterMs: undefined }]);
    await pass(1_000);
    expect(book.criticalForMs(A)).toBe(4_000);
    book.sync(WEB, [mortal(A)]);
    expect(book.criticalForMs(A)).toBe(0);
  });

  test('but not with the same', async () => {
    book.sync(WEB, [mortal(A)]);
    await pass(500);
    expect(book.criticalForMs(A)).toBe(3_500);
  });
});

describe('instances are kept though critical for too long', () => {
  const CRITICAL: CheckResult = { status: 'critical', output: 'refused' };
  const PASSING: CheckResult = { status: 'passing', output: 'ok' };
  const fleet = (size: number, failing: number, as: typeof mortal = mortal): BookedCheck[] =>
    Array.from({ length: size }, (_, at) =>
      as(checkPlace('n', `c-${at}`), at < failing ? CRITICAL : PASSING),
    );

  test.each<[size: number, failing: number, isHeld: boolean]>([
    [20, 20, false],
    [21, 6, false],
    [21, 7, true],
    [100, 30, false],
    [100, 31, true],
  ])('of %i checks %i are critical: %s', (size, failing, isHeld) => {
    book.sync(WEB, fleet(size, failing));
    expect(book.heldReaps).toEqual(isHeld ? { critical: failing, total: size } : undefined);
  });

  test('all over the install, and until it is better', () => {
    book.sync(WEB, fleet(20, 0));
    book.sync(API, [mortal(A, CRITICAL), mortal(B, CRITICAL)]);
    expect(book.heldReaps).toBeUndefined();
    book.sync(WEB, fleet(20, 6));
    expect(book.heldReaps).toEqual({ critical: 8, total: 22 });
    book.forget(API);
    expect(book.heldReaps).toBeUndefined();
  });

  test('whatever those do that never take an instance out, or have', () => {
    book.sync(WEB, [...fleet(21, 0), booked(A, CRITICAL)]);
    book.sync(
      API,
      fleet(200, 200, (place, stored) => booked(checkPlace('other', place), stored)),
    );
    expect(book.heldReaps).toBeUndefined();
  });

  test('and not in the next tenure for what was found in this one', async () => {
    book.sync(WEB, fleet(30, 30));
    expect(book.heldReaps).toBeDefined();
    await book.stop();
    expect(book.heldReaps).toBeUndefined();
  });

  test('and somebody hears of it', () => {
    book.sync(WEB, fleet(100, 31));
    expect(held).toEqual([{ critical: 31, total: 100 }]);
  });
});
