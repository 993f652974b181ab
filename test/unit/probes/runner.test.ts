import { describe, expect, test } from 'vitest';
import type { ProbeStatus } from '../../../src/probes/spec.ts';
import { aSpec, type Behaviour, ProbeWorld } from './probe-world.ts';

function answering(status: ProbeStatus, afterMs = 0): Behaviour {
  return { afterMs, outcome: { status, output: `is ${status}` } };
}

test('the first run comes at random within the first interval', async () => {
  const world = new ProbeWorld({ random: () => 0.75 });
  world.runner.set('a', aSpec('a'), undefined);
  await world.pass(749);
  expect(world.runs).toEqual([]);
  await world.pass(1_001);
  expect(world.runsOf('a')).toEqual([750, 1_750]);
});

test('the first result is told, with its output; the same again is not, whatever its output', async () => {
  const world = new ProbeWorld();
  let run = 0;
  world.behaviour = () => ({ afterMs: 0, outcome: { status: 'passing', output: `run\n${run++}` } });
  world.runner.set('a', aSpec('a'), undefined);
  expect(world.runner.verdict('a')).toBeUndefined();
  await world.pass(5_000);
  expect(world.results).toEqual([{ id: 'a', result: { status: 'passing', output: 'run 0' } }]);
});

test('a target that does not answer in time is critical, and is asked again in time', async () => {
  const world = new ProbeWorld();
  world.behaviour = () => 'hangs';
  world.runner.set('a', aSpec('a'), undefined);
  await world.pass(499);
  expect(world.results).toEqual([]);
  await world.pass(1_501);
  expect(world.results).toEqual([
    { id: 'a', result: { status: 'critical', output: 'no answer within 500 ms' } },
  ]);
  expect(world.runsOf('a')).toEqual([0, 1_000, 2_000]);
});

test('a run that takes longer than the interval is followed by the next in time', async () => {
  const world = new ProbeWorld();
  world.behaviour = () => answering('passing', 1_300);
  world.runner.set('a', aSpec('a', { timeoutMs: 2_000 }), undefined);
  await world.pass(4_500);
  expect(world.runsOf('a')).toEqual([0, 2_000, 4_000]);
});

test('an interval beyond the longest timer is kept', async () => {
  const world = new ProbeWorld();
  world.runner.set('a', aSpec('a', { intervalMs: 2 ** 32 }), undefined);
  await world.pass(2 ** 32 - 1);
  expect(world.runsOf('a')).toEqual([0]);
  await world.pass(1);
  expect(world.runsOf('a')).toEqual([0, 2 ** 32]);
});

test.each([{ intervalMs: 0 }, { intervalMs: Number.NaN }, { timeoutMs: 0 }])('%o is refused', wrong => {
  expect(() => new ProbeWorld().runner.set('a', aSpec('a', wrong), undefined)).toThrow(RangeError);
});

describe('what teaches nothing about the target counts as no run', () => {
  const thresholds = { successBeforePassing: 1, failuresBeforeCritical: 2 };

  test('a shortage of our own', async () => {
    const world = new ProbeWorld();
    const found = (['passing', 'critical', 'unknown', 'critical'] as const).values();
    world.behaviour = () => {
      const status = found.next().value ?? 'passing';
      return { afterMs: 0, outcome: { status, output: `is ${status}` } };
    };
    world.runner.set('a', aSpec('a', { thresholds }), undefined);
    await world.pass(3_000);
    expect(world.results.map(({ result }) => result.status)).toEqual(['passing', 'critical']);
    expect(world.unknown).toEqual([{ id: 'a', why: 'is unknown' }]);
  });

  test('a defect', async () => {
    const world = new ProbeWorld();
    world.behaviour = () => {
      throw new TypeError('of undefined');
    };
    world.runner.set('a', aSpec('a'), { status: 'passing', output: 'stored' });
    await world.pass(1_000);
    expect(world.results).toEqual([]);
    expect(world.unknown.at(-1)).toEqual({ id: 'a', why: 'of undefined' });
  });
});

describe('what was stored before', () => {
  const thresholds = { successBeforePassing: 3, failuresBeforeCritical: 3 };
  const stored = { status: 'passing', output: 'stored' } as const;

  test('stands, and is not told again', async () => {
    const world = new ProbeWorld();
    world.runner.set('a', aSpec('a', { thresholds }), stored);
    expect(world.runner.verdict('a')).toEqual(stored);
    await world.pass(5_000);
    expect(world.results).toEqual([]);
    expect(world.runner.verdict('a')).toEqual(stored);
  });

  test('falls when the threshold is crossed', async () => {
    const world = new ProbeWorld();
    world.behaviour = () => answering('critical');
    world.runner.set('a', aSpec('a', { thresholds }), stored);
    await world.pass(1_999);
    expect(world.results).toEqual([]);
    await world.pass(1);
    expect(world.results).toEqual([{ id: 'a', result: { status: 'critical', output: 'is critical' } }]);
  });
});

describe('what was stored turns out to be old', () => {
  const passing = { status: 'passing', output: 'as the standby had it' } as const;
  const critical = { status: 'critical', output: 'as the old leader wrote it' } as const;

  test('before a run here: what is fresher stands in its place, and counts', async () => {
    const world = new ProbeWorld({ random: () => 0.5 });
    world.behaviour = () => answering('passing');
    const thresholds = { successBeforePassing: 2, failuresBeforeCritical: 1 };
    world.runner.set('a', aSpec('a', { thresholds }), passing);
    world.runner.set('a', aSpec('a', { thresholds }), critical);
    expect(world.runner.verdict('a')).toEqual(critical);
    world.runner.set('a', aSpec('a', { thresholds }), undefined);
    expect(world.runner.verdict('a')).toEqual(critical);
    await world.pass(1_000);
    expect(world.results).toEqual([]);
    await world.pass(500);
    expect(world.results.map(({ result }) => result.status)).toEqual(['passing']);
  });

  test('also after a run that taught nothing', async () => {
    const world = new ProbeWorld();
    world.behaviour = () => ({ afterMs: 0, outcome: { status: 'unknown', output: 'no DNS' } });
    world.runner.set('a', aSpec('a'), passing);
    await world.pass(100);
    world.runner.set('a', aSpec('a'), critical);
    expect(world.runner.verdict('a')).toEqual(critical);
  });

  test('after a run here: what was found stands', async () => {
    const world = new ProbeWorld();
    world.runner.set('a', aSpec('a'), passing);
    await world.pass(100);
    world.runner.set('a', aSpec('a'), critical);
    expect(world.runner.verdict('a')).toEqual(passing);
  });
});

describe('targets that hang', () => {
  test('hold a place for a minute at most, whatever their timeout', async () => {
    const world = new ProbeWorld();
    world.behaviour = () => 'hangs';
    world.runner.set('a', aSpec('a', { timeoutMs: 600_000, intervalMs: 600_000 }), undefined);
    await world.pass(59_999);
    expect(world.runningNow).toBe(1);
    await world.pass(1);
    expect(world.results.map(({ result }) => result.output)).toEqual(['no answer within 60000 ms']);
  });

  test('of one owner, in any number, keep nobody else s new check waiting', async () => {
    const world = new ProbeWorld({ ownerOf: id => id.split('-')[0] ?? '' });
    world.behaviour = host => (host.startsWith('evil') ? 'hangs' : answering('passing'));
    for (let n = 0; n < 512; n += 1)
      world.runner.set(`evil-${n}`, aSpec(`evil-${n}`, { timeoutMs: 600_000 }), undefined);
    await world.pass(5_000);
    world.runner.set('good', aSpec('good'), undefined);
    await world.pass(0);
    expect(world.runsOf('good')).toEqual([5_000]);
  });

  test('once are no reason to wait behind those that always do', async () => {
    const world = new ProbeWorld({ places: 4 });
    world.runner.set('good', aSpec('good'), undefined);
    await world.pass(500);
    let slow = true;
    world.behaviour = host => (host === 'good' && !slow ? answering('passing') : 'hangs');
    for (let n = 0; n < 20; n += 1)
      world.runner.set(`evil-${n}`, aSpec(`evil-${n}`, { timeoutMs: 60_000 }), undefined);
    await world.pass(1_499);
    slow = false;
    await world.pass(1);
    expect(world.runsOf('good')).toEqual([0, 1_000, 2_000]);
    expect(world.runner.verdict('good')?.status).toBe('passing');
  });

  test('twice in a row wait with the others', async () => {
    const world = new ProbeWorld({ places: 2 });
    world.runner.set('bad', aSpec('bad'), undefined);
    await world.pass(500);
    world.behaviour = () => 'hangs';
    await world.pass(2_100);
    world.runner.set('worse', aSpec('worse', { timeoutMs: 60_000 }), undefined);
    await world.pass(5_000);
    expect(world.runsOf('bad')).toEqual([0, 1_000, 2_000]);
  });
});

describe('a check that is set again', () => {
  test('with the same spec goes on undisturbed', async () => {
    const world = new ProbeWorld({ random: () => 0.5 });
    world.behaviour = () => answering('passing', 100);
    for (let n = 0; n < 30; n += 1) {
      world.runner.set('a', aSpec('a'), { status: 'critical', output: 'what Consul has' });
      await world.pass(100);
    }
    expect(world.runsOf('a')).toEqual([500, 1_500, 2_500]);
    expect(world.results.map(({ result }) => result.status)).toEqual(['passing']);
    expect(world.runner.size).toBe(1);
  });

  test('with another target breaks off the run under way, and keeps what it says until the new target says otherwise', async () => {
    const world = new ProbeWorld();
    const thresholds = { successBeforePassing: 1, failuresBeforeCritical: 2 };
    world.runner.set('a', aSpec('old', { thresholds }), { status: 'passing', output: 'stored' });
    world.behaviour = host => (host === 'old' ? 'hangs' : answering('critical'));
    await world.pass(100);
    world.runner.set('a', aSpec('new', { thresholds }), undefined);
    await world.pass(899);
    expect(world.runs.map(({ host }) => host)).toEqual(['old', 'new']);
    expect(world.runner.verdict('a')?.status).toBe('passing');
    await world.pass(1_000);
    expect(world.results.map(({ result }) => result.output)).toEqual(['is critical']);
    expect(world.runsOf('old')).toEqual([0]);
  });

  test('with another target has to prove itself anew: two that hang leave a place to who answers', async () => {
    const world = new ProbeWorld({ places: 2 });
    for (const id of ['a', 'b', 'c']) world.runner.set(id, aSpec(id), undefined);
    await world.pass(500);
    world.behaviour = host => (host.startsWith('hangs') ? 'hangs' : answering('passing'));
    for (const id of ['a', 'b']) world.runner.set(id, aSpec(`hangs-${id}`, { timeoutMs: 60_000 }), undefined);
    await world.pass(3_000);
    expect(world.runsOf('c')).toEqual([0, 1_000, 2_000, 3_000]);
  });

  test('with another interval starts a new beat', async () => {
    const world = new ProbeWorld();
    world.runner.set('a', aSpec('a'), undefined);
    await world.pass(1_500);
    world.runner.set('a', aSpec('a', { intervalMs: 400 }), undefined);
    await world.pass(900);
    expect(world.runsOf('a')).toEqual([0, 1_000, 1_500, 1_900, 2_300]);
  });

  test('with other thresholds or another timeout keeps its beat', async () => {
    const world = new ProbeWorld();
    world.behaviour = () => answering('critical', 600);
    world.runner.set('a', aSpec('a', { timeoutMs: 700 }), { status: 'passing', output: 'stored' });
    const thresholds = { successBeforePassing: 1, failuresBeforeCritical: 3 };
    await world.pass(100);
    world.runner.set('a', aSpec('a', { timeoutMs: 700, thresholds }), undefined);
    await world.pass(2_400);
    expect(world.results).toEqual([]);
    world.runner.set('a', aSpec('a', { timeoutMs: 50, thresholds }), undefined);
    await world.pass(550);
    expect(world.runsOf('a')).toEqual([0, 1_000, 2_000, 3_000]);
    expect(world.results.map(({ result }) => result.output)).toEqual(['is critical']);
  });
});

test('after the stop nothing starts, runs or is told', async () => {
  const world = new ProbeWorld();
  world.behaviour = host => (host === 'a' ? 'hangs' : answering('passing', 100));
  for (const id of ['a', 'b']) world.runner.set(id, aSpec(id), undefined);
  await world.pass(50);
  expect(world.runningNow).toBe(2);
  await world.runner.stop();
  world.runner.set('c', aSpec('c'), undefined);
  await world.pass(5_000);
  expect([world.results, world.runningNow, world.runner.size, world.clock.timerCount]).toEqual([[], 0, 0, 0]);
});
