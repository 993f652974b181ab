import { describe, expect, test } from 'vitest';
import { markOut } from '../../../../src/core/instance-names.ts';
import {
  anInstance,
  aSidecar,
  CRITICAL,
  draining,
  endOf,
  NOW_MS,
  planOf,
  type Situation,
  standing,
  told,
  withService,
} from './plan-builders.ts';

const FIXED = anInstance({ id: 'a' });
const POD = anInstance({ id: 'p', ready: true });
const SIDE = aSidecar({ id: 'p', ready: true });
const SEEN = standing(POD);
const DRAIN_MS = 5_000;

const listed = (...wished: readonly (typeof POD)[]) =>
  Object.fromEntries(wished.map(({ name, fingerprint }) => [name, fingerprint]));
/** The Pod, listed and not wished. */
const gone = (seen: typeof SEEN | undefined): Situation => ({
  record: listed(POD),
  stands: seen === undefined ? {} : { [POD.name]: seen },
});
const ago = (ms: number): number => NOW_MS - ms;
const claimed = { [POD.name]: '~' };
const unmarked = withService(SEEN, { meta: new Map() });
const begins = 'drain p [get, +proconsul-draining critical]';
const removed = 'remove p [-service] -';
const letGo = 'remove p -';
/** Without the mark. */
const left = 'remove p [service] -';

type Row = [what: string, situation: Situation, plan: string];

describe('what is not wished any more', () => {
  test.each<Row>([
    ['begins to drain', gone(SEEN), begins],
    ['drains', gone(draining(SEEN, ago(1_000))), 'nothing (again in 4000)'],
    [
      'drains, though Consul was told otherwise',
      gone(draining(SEEN, ago(1_000), 'passing')),
      'drain p [proconsul-draining critical]',
    ],
    [
      'drains from now on, if since when cannot be read',
      gone(draining(SEEN, 'long ago')),
      'drain p [proconsul-draining critical]',
    ],
    [
      'drains from now on, if that time has not come',
      gone(draining(SEEN, NOW_MS + 1)),
      'drain p [proconsul-draining critical]',
    ],
    ['drains to the last moment', gone(draining(SEEN, ago(DRAIN_MS - 1))), 'nothing (again in 1)'],
    ['goes when that is over', gone(draining(SEEN, ago(DRAIN_MS))), removed],
    [
      'goes at once without a time to drain',
      { record: listed(FIXED), stands: { [FIXED.name]: standing(FIXED) } },
      'remove a [-service] -',
    ],
    ['is let go of when it has gone', gone(undefined), letGo],
    ['is let go of when it was only claimed', { record: claimed }, letGo],
    ['is let go of when somebody was faster', { ...gone(unmarked), record: claimed }, letGo],
    ['drains when it was claimed and ours came', { ...gone(SEEN), record: claimed }, begins],
    ['drains though our mark is lost', gone(unmarked), begins],
    ['is let go of when another owns it', { ...gone(SEEN), rivals: [POD.name] }, letGo],
    ['is let go of when it was taken out', { record: { [POD.name]: markOut(POD.fingerprint) } }, letGo],
    [
      'is let go of where another resource of the name left it',
      { ...gone(SEEN), head: { uid: 'u-0', onDelete: 'Retain' } },
      left,
    ],
    [
      'drains also where deleting would leave it',
      { ...gone(SEEN), head: { onDelete: 'Retain' }, declarer: { onDelete: 'Retain' } },
      begins,
    ],
    [
      'drains where another resource of the name would have removed it',
      { ...gone(SEEN), head: { uid: 'u-0' } },
      begins,
    ],
    ['and is an agent’s is let go of', { record: { '/agent/Host%201/p': 'f.t' } }, letGo],
  ])('%s', (_what, situation, plan) => {
    expect(told(planOf(situation))).toBe(plan);
  });

  test('drains under every drift policy, and says since when', () => {
    for (const driftPolicy of ['Report', 'Ignore'] as const) {
      const plan = planOf({ ...gone(SEEN), declarer: { driftPolicy } });
      if (plan.kind !== 'change' || plan.change.step !== 'commit') throw new Error(told(plan));
      const [, write] = plan.change.instances[0]?.operations ?? [];
      const output = 'draining since 2026-02-01T12:00:00.000Z';
      expect(write).toMatchObject({ verb: 'check-cas', result: { status: 'critical', output } });
    }
  });

  test('keeps the time at which it began to drain', () => {
    const plan = planOf(gone(draining(SEEN, ago(1_000), 'passing')));
    if (plan.kind !== 'change' || plan.change.step !== 'commit') throw new Error(told(plan));
    const output = 'draining since 2026-02-01T11:59:59.000Z';
    expect(plan.change.instances[0]?.operations).toMatchObject([{ result: { output } }]);
  });

  test('drains as long as the instances of its kind', () => {
    const fixed = { record: listed(FIXED), stands: { [FIXED.name]: draining(standing(FIXED), ago(1_000)) } };
    const declarer = { drainMs: { instances: 60_000, kubernetes: 0 } };
    expect(told(planOf({ ...fixed, declarer }))).toBe('nothing (again in 59000)');
    expect(told(planOf({ ...gone(SEEN), declarer }))).toBe(removed);
  });

  test('does not hold up the wait for a source, which comes back when it is over', () => {
    const plan = planOf({ ...gone(draining(SEEN, ago(1_000))), missing: 'no Service' });
    expect(told(plan)).toBe('SourceNotFound: no Service (again in 4000)');
  });

  test('goes after what comes', () => {
    expect(told(planOf({ ...gone(SEEN), wish: [FIXED] }))).toBe(`create a [+service] =; ${begins}`);
  });
});

describe('an instance that moves to another node', () => {
  const here = anInstance({ id: 'a' });
  const there = anInstance({ id: 'a', node: 'vm-2' });
  const stands = { [here.name]: standing(here) };
  test('stands there before it goes here', () => {
    const plan = planOf({ wish: [there], record: listed(here), stands });
    expect(told(plan)).toBe('create a [+service] =; remove a [-service] -');
  });

  test('stays while it is registered there', () => {
    const [from, to] = [
      anInstance({ id: 'a', native: true }),
      anInstance({ id: 'a', native: true, node: 'vm-2' }),
    ];
    const before = {
      wish: [to],
      record: { ...listed(from), [to.name]: '~' },
      head: { phase: 'claiming' } as const,
    };
    const standsHere = { [from.name]: standing(from) };
    expect(told(planOf({ ...before, record: listed(from), stands: standsHere }))).toBe(
      'create a ~; claiming; adopting',
    );
    expect(told(planOf({ ...before, stands: standsHere }))).toBe('register create a at 0');
    const both = { ...standsHere, [to.name]: standing(to) };
    expect(told(planOf({ ...before, stands: both }))).toBe('record a =; remove a [-service] -');
  });
});

describe('a sidecar', () => {
  const side = standing(SIDE);
  test('drains as long as the instance that it speaks for', () => {
    const situation = { record: listed(POD, SIDE), stands: { [POD.name]: SEEN, [SIDE.name]: side } };
    expect(told(planOf(situation))).toBe(
      `${begins}; drain p-sidecar-proxy [get, +proconsul-draining critical]`,
    );
  });

  test('has nothing to drain for once that has gone', () => {
    expect(told(planOf({ record: listed(SIDE), stands: { [SIDE.name]: side } }))).toBe(
      'remove p-sidecar-proxy [-service] -',
    );
  });

  test('is asked for nothing that it could not have', () => {
    const connect = { ...(SIDE.service.connect as object), destinationId: 'Not/an id' } as never;
    const stands = { [SIDE.name]: withService(side, { connect }) };
    expect(told(planOf({ record: listed(SIDE), stands }))).toBe('remove p-sidecar-proxy [-service] -');
  });
});

describe('what is wished again while it drains', () => {
  const again = { ...gone(draining(SEEN, ago(1_000))), wish: [POD] };
  test('is healthy again', () => {
    expect(told(planOf(again))).toBe('health p [-proconsul-draining]');
  });

  test('is so also when all else is withheld', () => {
    const other = anInstance({ id: 'b' });
    expect(told(planOf({ ...again, wish: [POD, other], rivals: [other.name] }))).toBe(
      'health p [-proconsul-draining]',
    );
  });

  test('is so with what else is written', () => {
    const wished = anInstance({ id: 'p', ready: true, port: 81 });
    expect(told(planOf({ ...again, wish: [wished] }))).toBe('update p [service, -proconsul-draining] =');
  });

  test('is so when it is taken over', () => {
    const plan = planOf({ ...again, record: undefined });
    expect(told(plan)).toBe('adopt p [service, -proconsul-draining] =; adopting');
  });
});

describe('a resource that is deleted', () => {
  const other = anInstance({ id: 'q', ready: true });
  const both = { record: listed(POD, other) };
  test.each<Row>([
    ['without a record has gone', {}, 'nothing'],
    ['with an empty one takes that along', { record: {} }, 'end'],
    [
      'drains what stands',
      { ...both, stands: { [POD.name]: SEEN, [other.name]: standing(other) } },
      `${begins}; drain q [get, +proconsul-draining critical]`,
    ],
    [
      'waits for it',
      {
        ...both,
        stands: {
          [POD.name]: draining(SEEN, ago(1_000)),
          [other.name]: draining(standing(other), ago(2_000)),
        },
      },
      'Progressing: draining 2 instances (again in 3000)',
    ],
    [
      'removes what is through already',
      {
        ...both,
        stands: {
          [POD.name]: draining(SEEN, ago(DRAIN_MS)),
          [other.name]: draining(standing(other), ago(1_000)),
        },
      },
      removed,
    ],
    [
      'goes with the last',
      { ...both, stands: { [POD.name]: draining(SEEN, ago(DRAIN_MS)) } },
      `${removed}; remove q -; end`,
    ],
    [
      'lets go of what is not its own',
      { ...both, stands: { [POD.name]: SEEN }, rivals: [POD.name] },
      `${letGo}; remove q -; end`,
    ],
    [
      'counts no sidecars',
      {
        record: listed(POD, SIDE),
        stands: { [POD.name]: draining(SEEN, ago(1_000)), [SIDE.name]: draining(standing(SIDE), ago(1_000)) },
      },
      'Progressing: draining 1 instance (again in 4000)',
    ],
  ])('%s', (_what, situation, plan) => {
    expect(told(endOf(situation))).toBe(plan);
  });

  test('under Retain lets go of all, as healthy as it is', () => {
    expect(told(endOf(gone(SEEN), 'Retain'))).toBe(`${left}; end`);
    expect(told(endOf(gone(standing(POD, { 'proconsul-readiness': CRITICAL })), 'Retain'))).toBe(
      `${left}; end`,
    );
  });

  test('under Retain takes its mark off what it leaves, and nothing else', () => {
    const plan = endOf(gone(SEEN), 'Retain');
    const [write] =
      plan.kind === 'change' && plan.change.step === 'commit'
        ? (plan.change.instances[0]?.operations ?? [])
        : [];
    if (write?.verb !== 'service-cas') throw new Error('the service is not written');
    const { meta, ...service } = SEEN.row.service;
    expect(write).toMatchObject({ service, index: SEEN.row.modifyIndex });
    expect([...meta.keys()].filter(key => !write.service.meta.has(key))).toEqual(['proconsul-owner']);
  });

  test('under Retain leaves what has no mark, or what others made of it', () => {
    expect(told(endOf(gone(unmarked), 'Retain'))).toBe(`${letGo}; end`);
    expect(told(endOf(gone(withService(SEEN, {}, 'mesh-gateway')), 'Retain'))).toBe(`${letGo}; end`);
    const nodes = { vm: { hasAgent: true } };
    expect(told(endOf({ ...gone(SEEN), nodes }, 'Retain'))).toBe(`${letGo}; end`);
  });

  test('under Retain first takes the mark off what no transaction writes', () => {
    const record = listed(SIDE);
    const seen = standing(SIDE);
    expect(told(endOf({ record, stands: { [SIDE.name]: seen } }, 'Retain'))).toBe(
      'register release p-sidecar-proxy at 10',
    );
    const bare = withService(seen, { meta: new Map() });
    expect(told(endOf({ record, stands: { [SIDE.name]: bare } }, 'Retain'))).toBe(
      'remove p-sidecar-proxy -; end',
    );
  });

  test('under Retain takes a drain back', () => {
    expect(told(endOf(gone(draining(SEEN, ago(1_000))), 'Retain'))).toBe(
      'remove p [service, -proconsul-draining] -; end',
    );
  });
});
