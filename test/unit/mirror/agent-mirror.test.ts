import { beforeEach, describe, expect, test } from 'vitest';
import type { AgentCheckSeen } from '../../../src/consul/agent-services.ts';
import type { ServiceRegistration } from '../../../src/consul/registration.ts';
import type { Answer, CallOptions } from '../../../src/consul/types.ts';
import { AgentMirror } from '../../../src/mirror/agent-mirror.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { aService } from '../../support/services.ts';

const ref = (name: string) => ({ kind: 'ConsulService', namespace: 'shop', name });
const [A, B] = [ref('a'), ref('b')];
const signal = new AbortController().signal;

const check = (serviceId: string, fields: Partial<AgentCheckSeen> = {}): AgentCheckSeen => ({
  id: `service:${serviceId}:c`,
  serviceId,
  name: 'c',
  notes: '',
  type: 'tcp',
  interval: '10s',
  timeout: '10s',
  status: 'passing',
  output: '',
  ...fields,
});

let clock: FakeClock;
let ending: AbortController;
let services: readonly ServiceRegistration[];
let checks: readonly AgentCheckSeen[];
let self: { nodeName: string; nodeId: string; runsScripts: boolean };
let filtered: boolean;
let reads: number;
let gate: Promise<void> | undefined;
let failure: Error | undefined;
let told: string[][];
let mirror: AgentMirror;

beforeEach(() => {
  clock = new FakeClock();
  ending = new AbortController();
  [services, checks, told, reads] = [[], [], [], 0];
  self = { nodeName: 'n', nodeId: 'm', runsScripts: true };
  [filtered, gate, failure] = [false, undefined, undefined];
  mirror = new AgentMirror({
    consul: {
      agent: { self: (options: CallOptions) => answer(() => self, options) } as never,
      agentServices: {
        services: options => answer(() => of(services), options),
        checks: options => {
          reads += 1;
          return answer(() => of(checks), options);
        },
      },
    },
    clock,
    logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    signal: ending.signal,
  });
  mirror.onChange(refs => void told.push(refs.map(({ name }) => name).sort()));
});

/** As things are when it is asked. */
async function answer<T>(read: () => T, _options: CallOptions): Promise<T> {
  const value = read();
  await gate;
  if (failure !== undefined) throw failure;
  return value;
}

function of<T>(value: T): Answer<T> {
  return { value, index: 0, filteredByAcl: filtered, knownLeader: true, elapsedMs: 1 };
}

const look = (more: object = {}) => mirror.current({ signal, ...more });
async function poll(): Promise<void> {
  clock.advance(5_000);
  await settled();
}

test('shows the agent, its services and their checks', async () => {
  services = [aService('web-1')];
  checks = [check('web-1'), check('')];
  const view = await look();
  expect(view).toMatchObject({ node: 'n', memory: 'm', runsScripts: true, isWhole: true });
  expect(view.service('web-1')).toEqual(aService('web-1'));
  expect([view.service('web-2'), view.checksOf('web-2')]).toEqual([undefined, []]);
  expect([view.checksOf('web-1'), view.checksOf('')]).toEqual([[check('web-1')], [check('')]]);
});

test('what the token hides makes it no whole', async () => {
  filtered = true;
  expect(await look()).toMatchObject({ isWhole: false });
});

describe('looks at the agent', () => {
  test('every five seconds while somebody has to do with it', async () => {
    mirror.track(A, ['web-1']);
    await look();
    await look();
    expect(reads).toBe(1);
    await poll();
    await poll();
    expect(reads).toBe(3);
    mirror.track(A, []);
    await poll();
    expect([reads, clock.timerCount]).toEqual([3, 0]);
  });

  test('anew where nobody has followed it since', async () => {
    mirror.track(A, ['web-1']);
    await look();
    mirror.track(A, []);
    await look();
    expect(reads).toBe(2);
  });

  test('anew after a write, and when it is asked for', async () => {
    mirror.track(A, ['web-1']);
    await look();
    mirror.doubt();
    await look();
    await look({ fresh: true });
    expect(reads).toBe(3);
  });

  test('once for all who need it now, and again for who comes later than that', async () => {
    mirror.track(A, ['web-1']);
    let open = (): void => {};
    gate = new Promise(resolve => {
      open = resolve;
    });
    const early = [look(), look(), look()];
    await settled();
    services = [aService('web-1')];
    mirror.doubt();
    const late = [look(), look()];
    open();
    const views = await Promise.all([...early, ...late]);
    expect(reads).toBe(2);
    expect(views.at(-1)?.service('web-1')).toBeDefined();
  });

  test('no longer than whoever asks waits for it', async () => {
    gate = new Promise(() => {});
    const giveUp = new AbortController();
    const waiting = mirror.current({ signal: giveUp.signal });
    giveUp.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortedError' });
  });

  test('and says so when it does not answer; the next one may', async () => {
    mirror.track(A, ['web-1']);
    failure = new Error('away');
    await expect(look()).rejects.toThrow('away');
    await poll();
    failure = undefined;
    expect(await look()).toMatchObject({ node: 'n' });
  });

  test('no more when the process ends', async () => {
    mirror.track(A, ['web-1']);
    await look();
    ending.abort();
    await poll();
    expect([reads, clock.timerCount]).toEqual([1, 0]);
  });
});

describe('tells', () => {
  const other = check('web-2', { id: 'other' });
  beforeEach(async () => {
    services = [aService('web-1'), aService('web-2'), aService('web-1-sidecar-proxy')];
    checks = [check('web-1'), check('web-2'), other];
    mirror.track(A, ['web-1']);
    mirror.track(B, ['web-2', 'web-9']);
    await look();
  });

  test.each<[string, () => void, string[][]]>([
    ['nothing of what is the same', () => {}, []],
    ['nothing of what nobody tracks', () => void (services = [...services, aService('other')]), []],
    [
      'nothing of what a check says in words',
      () => void (checks = [check('web-1', { output: 'x' }), ...checks.slice(1)]),
      [],
    ],
    ['nothing of another order', () => void (checks = checks.toReversed()), []],
    ['of a service', () => void (services = [aService('web-1', { port: 1 }), ...services.slice(1)]), [['a']]],
    ['of one that is gone', () => void (services = services.slice(1)), [['a']]],
    ['of one that came', () => void (services = [...services, aService('web-9')]), [['b']]],
    ['of a sidecar', () => void (services = services.slice(0, 2)), [['a']]],
    [
      'of a status',
      () => void (checks = [check('web-1', { status: 'critical' }), ...checks.slice(1)]),
      [['a']],
    ],
    ['of a reason', () => void (checks = [check('web-1', { notes: 'x' }), ...checks.slice(1)]), [['a']]],
    ['of a check', () => void (checks = [check('web-1')]), [['b']]],
    ['everybody of a check of the node', () => void (checks = [...checks, check('')]), [['a', 'b']]],
    ['everybody of another agent', () => void (self = { ...self, nodeName: 'x' }), [['a', 'b']]],
    ['everybody of an agent without memory', () => void (self = { ...self, nodeId: 'x' }), [['a', 'b']]],
    ['everybody of scripts', () => void (self = { ...self, runsScripts: false }), [['a', 'b']]],
    ['everybody of what is hidden', () => void (filtered = true), [['a', 'b']]],
  ])('%s', async (_, happen, whom) => {
    happen();
    await poll();
    expect(told).toEqual(whom);
    await poll();
    expect(told).toEqual(whom);
  });

  test('nobody who reads it', async () => {
    services = [aService('web-1', { port: 1 }), aService('web-2', { port: 1 }), ...services.slice(2)];
    await look({ fresh: true, reader: A });
    expect(told).toEqual([['b']]);
  });

  test('nobody of the first look', () => expect(told).toEqual([]));

  test('who has to do with an id', () => {
    mirror.track(A, ['web-2']);
    expect(mirror.concernedBy(['web-2', 'x']).map(({ name }) => name)).toEqual(['b', 'a']);
    expect(mirror.concernedBy(['web-1'])).toEqual([]);
  });
});

describe('for how long a check of what is gone had been critical when it was last seen', () => {
  const critical = check('web-1', { status: 'critical' });
  const isGone = async (): Promise<number> => {
    [services, checks] = [[], []];
    await poll();
    return (await look()).criticalMs('web-1', critical.id);
  };
  const begin = async (first: AgentCheckSeen) => {
    [services, checks] = [[aService('web-1')], [first]];
    mirror.track(A, ['web-1']);
    await look();
  };

  test('from the first look that found it so to the last', async () => {
    await begin(check('web-1'));
    checks = [critical];
    for (let looks = 0; looks < 4; looks += 1) await poll();
    expect(await isGone()).toBe(15_000);
    expect((await look()).criticalMs('web-1', 'service:web-1:other')).toBe(0);
  });

  test.each(['warning', 'passing'])('not at all when it was %s in the end', async status => {
    await begin(critical);
    await poll();
    checks = [check('web-1', { status })];
    await poll();
    expect(await isGone()).toBe(0);
  });

  test('anew when it was better in between', async () => {
    await begin(critical);
    for (const status of ['critical', 'warning', 'critical', 'critical']) {
      checks = [check('web-1', { status })];
      await poll();
    }
    expect(await isGone()).toBe(5_000);
  });

  test('anew when the service was gone in between', async () => {
    await begin(critical);
    await poll();
    await isGone();
    [services, checks] = [[aService('web-1')], [critical]];
    await poll();
    expect(await isGone()).toBe(0);
  });

  test('anew when nobody could look for half a minute: it may have been better', async () => {
    await begin(critical);
    await poll();
    failure = new Error('away');
    for (let looks = 0; looks < 6; looks += 1) await poll();
    failure = undefined;
    await poll();
    expect(await isGone()).toBe(0);
  });

  test('is known of what stood when somebody began to track it', async () => {
    [services, checks] = [[aService('web-1')], [critical]];
    mirror.track(B, ['x']);
    await look();
    mirror.track(A, ['web-1']);
    await poll();
    expect(await isGone()).toBe(5_000);
  });

  test('is not known of what nobody saw, or tracks any more', async () => {
    mirror.track(B, ['x']);
    await begin(critical);
    await poll();
    mirror.track(A, []);
    expect(await isGone()).toBe(0);
  });
});
