import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { catalogWrites } from '../support/catalog-writes.ts';
import { ConsulServices } from '../support/consulservice.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import { HealthServer } from '../support/health-server.ts';
import type { Operator } from '../support/operator.ts';
import { Listener } from '../support/probe-targets.ts';
import { conditionsOf } from '../support/resources.ts';
import { isWritingTransaction } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Checks that the operator runs, against servers of the test: what they say comes to stand in Consul, and nothing else. */

const LOOPBACK = { PROCONSUL_PROBE_ALLOW_CIDRS: '127.0.0.0/8' };
/** The shortest there is. */
const interval = '1s';
/** What a minute measured in two processes may lack. */
const LEAST_MINUTE_MS = 59_900;

let world: World;
let services: ConsulServices;
let reaped: Patient;
let lasting: Patient;
let revive: () => void;

/** A server that answers as it is told to, and counts. */
class Patient implements AsyncDisposable {
  readonly #listener: Listener;
  /** `performance.now()` of each run. */
  readonly runs: number[];

  private constructor(listener: Listener, runs: number[]) {
    this.#listener = listener;
    this.runs = runs;
  }

  /** `answer` gets the number of the run, from 0: a status, or undefined to hang. */
  static async start(answer: (run: number) => number | undefined): Promise<Patient> {
    const runs: number[] = [];
    const listener = await Listener.http((_, response) => {
      const status = answer(runs.push(performance.now()) - 1);
      // Never the same text: the output alone must not be worth a write.
      if (status !== undefined) response.writeHead(status).end(`run ${runs.length}`);
    });
    return new Patient(listener, runs);
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Resolves once it was asked so often since now. */
  async asked(times: number): Promise<void> {
    const from = this.runs.length;
    await eventually(() => this.runs.length >= from + times, { what: `asked ${times} times more` });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#listener[Symbol.asyncDispose]();
  }
}

const at = (id: string, port: number) => ({ id, address: '127.0.0.1', port });

/** Each change of the catalog among the requests, with the one that made it. */
function changes(requests: readonly RecordedRequest[]) {
  return requests.flatMap(request => catalogWrites([request]).map(write => ({ ...write, request })));
}

/** What Consul was told of one check, in order. */
function written(id: string, check: string) {
  const ofIt = `service:${id}:${check}`;
  return changes(world.toConsul.requests).filter(change => change.id === ofIt);
}

const statusesOf = (id: string, check: string) => written(id, check).map(({ status }) => status);

const says = (service: string, id: string, checks: Readonly<Record<string, string>>) =>
  eventually(async () => expect(await services.checks(service, id)).toEqual(checks), {
    what: `the checks of ${id} are ${JSON.stringify(checks)}`,
  });

async function outputOf(service: string, id: string): Promise<string> {
  const { Checks } = await services.instance(service, id);
  return Checks.filter(({ ServiceID }) => ServiceID === id)
    .map(({ Output }) => Output)
    .join('\n');
}

const counts = (name: string, expected: object) =>
  eventually(async () => expect((await services.get(name))['status'].instances).toMatchObject(expected), {
    what: `${name} counts ${JSON.stringify(expected)}`,
  });

beforeAll(async () => {
  world = await World.create('service-checks');
  services = new ConsulServices(world);
  await world.startOperator(LOOPBACK);
  // It takes a minute until its verdict, which is the least that the API takes: the last test waits for that.
  let code = 500;
  reaped = await Patient.start(() => code);
  revive = () => void (code = 200);
  lasting = await Patient.start(() => 200);
  await services.declareReady('reaped', {
    name: services.service('reaped'),
    instances: [at('reaped-dead', reaped.port), at('reaped-lasting', lasting.port)],
    checks: [{ name: 'up', http: {}, interval, deregisterCriticalServiceAfter: '1m' }],
  });
});

afterAll(async () => {
  await world.close();
  await services.clear();
  await Promise.all([reaped, lasting].map(each => each[Symbol.asyncDispose]()));
});

test('an HTTP, a TCP and a gRPC server go bad and good again, and Consul says so each time', async () => {
  let code = 200;
  await using web = await Patient.start(() => code);
  let tcp = await Listener.tcp(() => {});
  const { port } = tcp;
  const grpc = await HealthServer.start();
  grpc.services.set('orders', 'SERVING');
  const service = services.service('real');
  await services.declareReady('real', {
    name: service,
    instances: [at('real-1', web.port)],
    checks: [
      { name: 'web', http: {}, interval },
      { name: 'tcp', tcp: { port }, interval },
      { name: 'grpc', grpc: { port: grpc.port, service: 'orders' }, interval },
    ],
  });
  const all = (status: string) => says(service, 'real-1', { web: status, tcp: status, grpc: status });
  await all('passing');
  await services.becomesPassing(service, ['real-1']);

  code = 500;
  grpc.services.set('orders', 'NOT_SERVING');
  await tcp[Symbol.asyncDispose]();
  await all('critical');
  await services.becomesPassing(service, []);
  await counts('real', { registered: 1, passing: 0, critical: 1, summary: '0/1' });
  expect(await outputOf(service, 'real-1')).toContain('500 Internal Server Error');

  code = 204;
  grpc.services.set('orders', 'SERVING');
  tcp = await Listener.tcp(() => {}, '127.0.0.1', port);
  await all('passing');
  await services.becomesPassing(service, ['real-1']);
  await counts('real', { registered: 1, passing: 1, critical: 0, summary: '1/1' });

  // Registered as critical, for nothing has been asked yet.
  for (const check of ['web', 'tcp', 'grpc'])
    expect(statusesOf('real-1', check), check).toEqual(['critical', 'passing', 'critical', 'passing']);
  await tcp[Symbol.asyncDispose]();
  grpc.close();
});

test('one that is bad from its first run says why, and so does one that is not up', async () => {
  await using web = await Patient.start(() => 503);
  const service = services.service('never');
  await services.declareReady('never', {
    name: service,
    instances: [at('never-1', web.port), at('never-2', 1)],
    checks: [{ name: 'up', http: {}, interval }],
  });
  await eventually(async () => expect(await outputOf(service, 'never-1')).toContain('503'), {
    what: 'the answer is in the output',
  });
  await eventually(async () => expect(await outputOf(service, 'never-2')).toMatch(/refused/i), {
    what: 'the refusal is in the output',
  });
});

test('429 is a warning, which clients that ask for what passes do not get', async () => {
  let code = 429;
  await using web = await Patient.start(() => code);
  const service = services.service('busy');
  await services.declareReady('busy', {
    name: service,
    instances: [at('busy-1', web.port)],
    checks: [{ name: 'up', http: {}, interval }],
  });
  await says(service, 'busy-1', { up: 'warning' });
  expect(await services.passing(service)).toEqual([]);
  await counts('busy', { registered: 1, passing: 0, warning: 1, critical: 0 });
  code = 200;
  await services.becomesPassing(service, ['busy-1']);
});

test('thresholds hold: three bad runs make it critical, two good ones passing, and nothing in between is written', async () => {
  const script = [200, 500, 500, 200, 500, 500, 500, 200, 500, 200];
  await using web = await Patient.start(run => script[run] ?? 200);
  const service = services.service('thresholds');
  await services.declareReady('thresholds', {
    name: service,
    instances: [at('thresholds-1', web.port)],
    checks: [{ name: 'up', http: {}, interval, failuresBeforeCritical: 3, successBeforePassing: 2 }],
  });
  await eventually(() => written('thresholds-1', 'up').length >= 4, { what: 'it went bad and good' });
  await web.asked(3);
  const writes = written('thresholds-1', 'up');
  // The first result counts at once.
  expect(writes.map(({ status }) => status)).toEqual(['critical', 'passing', 'critical', 'passing']);
  const runsBefore = writes.map(({ request }) => web.runs.filter(at => at < request.at).length);
  expect(runsBefore[2]).toBeGreaterThanOrEqual(7);
  expect(runsBefore[3]).toBeGreaterThanOrEqual(11);
});

test('a result that is the same is written nowhere, whatever else the answer says', async () => {
  await using good = await Patient.start(() => 200);
  await using bad = await Patient.start(() => 500);
  await using busy = await Patient.start(() => 429);
  const patients = [good, bad, busy];
  const service = services.service('steady');
  const ids = ['steady-good', 'steady-bad', 'steady-busy'];
  await services.declareReady('steady', {
    name: service,
    instances: ids.map((id, n) => at(id, (patients[n] as Patient).port)),
    checks: [{ name: 'up', http: {}, interval }],
  });
  await says(service, 'steady-good', { up: 'passing' });
  await says(service, 'steady-busy', { up: 'warning' });
  await eventually(async () => expect(await outputOf(service, 'steady-bad')).toContain('500'), {
    what: 'all three were asked',
  });
  await counts('steady', { passing: 1, warning: 1, critical: 1 });
  const [stands, from] = [await services.instances(service), world.toConsul.requests.length];

  await Promise.all(patients.map(patient => patient.asked(5)));

  expect(await services.instances(service)).toEqual(stands);
  expect(
    world.toConsul.requests
      .slice(from)
      .filter(isWritingTransaction)
      .filter(({ body }) => body.includes('steady-')),
  ).toEqual([]);
});

test('a check that is changed or taken out goes on as declared, and its instance with it', async () => {
  await using web = await Patient.start(() => 200);
  await using other = await Patient.start(() => 500);
  const service = services.service('changed');
  const up = { name: 'up', http: {}, interval };
  await services.declareReady('changed', {
    name: service,
    instances: [at('changed-1', web.port)],
    checks: [up],
  });
  await says(service, 'changed-1', { up: 'passing' });
  await services.changeReady('changed', { checks: [{ ...up, http: { port: other.port } }] });
  await says(service, 'changed-1', { up: 'critical' });
  await services.changeReady('changed', {
    checks: [up, { ...up, name: 'more', http: { port: other.port } }],
  });
  await says(service, 'changed-1', { up: 'passing', more: 'critical' });
  await services.changeReady('changed', { checks: [up] });
  await says(service, 'changed-1', { up: 'passing' });
  await services.becomesPassing(service, ['changed-1']);
  const asked = other.runs.length;
  await web.asked(3);
  // One may have been under way.
  expect(other.runs.length - asked).toBeLessThanOrEqual(1);
});

test('of 200 checks, 20 whose targets hang are critical, and only those are late', async () => {
  let dying: Patient | undefined;
  const patients = await Promise.all(
    Array.from({ length: 200 }, async (_, n) => {
      const patient: Patient = await Patient.start(() =>
        n % 10 === 0 ? undefined : patient === dying ? 500 : 200,
      );
      return patient;
    }),
  );
  const [hanging, answering] = [
    patients.filter((_, n) => n % 10 === 0),
    patients.filter((_, n) => n % 10 !== 0),
  ];
  const service = services.service('crowd');
  const idOf = (patient: Patient): string => `crowd-${patients.indexOf(patient)}`;
  await services.declareReady('crowd', {
    name: service,
    instances: patients.map(patient => at(idOf(patient), patient.port)),
    checks: [{ name: 'up', http: {}, interval, timeout: '2s' }],
  });
  await services.becomesPassing(service, answering.map(idOf));
  const [hangs = patients[0] as Patient] = hanging;
  await eventually(
    async () => expect(await outputOf(service, idOf(hangs))).toContain('no answer within 2000 ms'),
    { what: 'one that hangs says so' },
  );
  await counts('crowd', { registered: 200, passing: 180, critical: 20, summary: '180/200' });

  const before = new Map(patients.map(patient => [patient, patient.runs.length]));
  const runsOf = (patient: Patient): number => patient.runs.length - (before.get(patient) ?? 0);
  await eventually(() => answering.every(patient => runsOf(patient) >= 6), {
    what: 'every server that answers was asked six times',
  });
  const runs = answering.map(runsOf);
  expect(Math.max(...runs) - Math.min(...runs)).toBeLessThanOrEqual(2);
  expect(Math.max(...hanging.map(runsOf))).toBeLessThan(Math.min(...runs));

  const from = world.toConsul.requests.length;
  dying = answering[90] as Patient;
  const askedBefore = dying.runs.length;
  await says(service, idOf(dying), { up: 'critical' });
  const ofIt = `service:${idOf(dying)}:up`;
  const write = changes(world.toConsul.requests.slice(from)).find(({ id }) => id === ofIt);
  const runsUntil = dying.runs.filter(ran => ran < (write?.request.at ?? 0)).length - askedBefore;
  expect(runsUntil).toBeLessThanOrEqual(2);

  await services.remove('crowd');
  const asked = patients.map(patient => patient.runs.length);
  await lasting.asked(3);
  expect(patients.filter((patient, n) => patient.runs.length > (asked[n] ?? 0))).toEqual([]);
  await Promise.all(patients.map(patient => patient[Symbol.asyncDispose]()));
}, 180_000);

describe('addresses that nobody may be sent to', () => {
  let own: World;
  let guarded: ConsulServices;

  beforeAll(async () => {
    own = await World.create('service-addresses');
    guarded = new ConsulServices(own);
  });

  afterAll(async () => {
    await own.close();
    await guarded.clear();
  });

  test('are asked nothing and the check says why, until PROCONSUL_PROBE_ALLOW_CIDRS names their range', async () => {
    await using web = await Patient.start(() => 200);
    const service = guarded.service('guarded');
    const hosts = {
      loopback: '127.0.0.1',
      metadata: '169.254.169.254',
      linked: '169.254.1.1',
    };
    await own.startOperator();
    await guarded.declareReady('guarded', {
      name: service,
      instances: Object.entries(hosts).map(([id, address]) => ({ id, address, port: web.port })),
      checks: [{ name: 'up', http: {}, interval }],
    });
    const outputs = async (): Promise<Record<string, string | undefined>> =>
      Object.fromEntries(
        Object.entries(await guarded.instances(service)).map(([id, { Checks }]) => [
          id,
          Checks.find(({ ServiceID }) => ServiceID === id)?.Output,
        ]),
      );
    const because = (what: string) =>
      expect.stringMatching(new RegExp(`not probed: .* is ${what}.*PROCONSUL_PROBE_ALLOW_CIDRS`));
    await eventually(
      async () =>
        expect(await outputs()).toEqual({
          loopback: because('a loopback address'),
          metadata: because('a metadata address'),
          linked: because('a link-local address'),
        }),
      { what: 'each is refused for what it is' },
    );
    expect(await guarded.passing(service)).toEqual([]);
    expect(web.runs).toEqual([]);

    await own.stopOperators();
    await own.startOperator(LOOPBACK);
    await eventually(async () => expect(await guarded.passing(service)).toContain('loopback'), {
      what: 'loopback is asked now',
    });
    expect(await outputs()).toMatchObject({ metadata: because('a metadata address') });
  });
});

describe('two replicas', () => {
  let own: World;
  let shared: ConsulServices;

  beforeAll(async () => {
    own = await World.create('service-standby');
    shared = new ConsulServices(own);
  });

  afterAll(async () => {
    await own.close();
    await shared.clear();
  });

  test('the leader is killed: the standby goes on from what is stored, and no status moves before its target does', async () => {
    let isSick = false;
    /** What is answered next and only once, in place of the usual. */
    const odd = new Map<string, number>();
    const usually = (name: string, usual: number) => (): number => {
      const answer = odd.get(name) ?? usual;
      odd.delete(name);
      return answer;
    };
    await using good = await Patient.start(() => (isSick ? 500 : 200));
    await using bad = await Patient.start(() => 500);
    await using busy = await Patient.start(() => 429);
    await using hiccup = await Patient.start(usually('hiccup', 200));
    await using glimmer = await Patient.start(usually('glimmer', 500));
    const patients = { good, bad, busy, hiccup, glimmer };
    const service = shared.service('standby');
    const operators = await Promise.all([own.startOperator(LOOPBACK), own.startOperator(LOOPBACK)]);
    await shared.declareReady('standby', {
      name: service,
      instances: Object.entries(patients).map(([id, { port }]) => at(id, port)),
      checks: [{ name: 'up', http: {}, interval, failuresBeforeCritical: 2, successBeforePassing: 2 }],
    });
    await shared.becomesPassing(service, ['good', 'hiccup']);
    for (const id of ['bad', 'glimmer']) {
      await eventually(
        async () => {
          const { Checks } = await shared.instance(service, id);
          expect(Checks.find(({ ServiceID }) => ServiceID === id)?.Output).toContain('500');
        },
        { what: `${id} was asked` },
      );
    }
    await eventually(async () => expect(await shared.checks(service, 'busy')).toEqual({ up: 'warning' }), {
      what: 'the one that is busy is a warning',
    });
    const stands = await shared.instances(service);

    const leader = operators.find(isLeading) as Operator;
    const standby = operators.find(one => one !== leader) as Operator;
    await leader.crash();
    const from = own.toConsul.requests.length;
    odd.set('hiccup', 500).set('glimmer', 200);
    await eventually(() => isLeading(standby), { what: 'the standby leads', timeoutMs: 60_000 });
    await Promise.all(Object.values(patients).map(patient => patient.asked(4)));
    expect(odd.size).toBe(0);
    expect(await shared.instances(service)).toEqual(stands);
    expect(catalogWrites(own.toConsul.requests.slice(from))).toEqual([]);

    isSick = true;
    await shared.becomesPassing(service, ['hiccup']);
  }, 180_000);
});

test('critical for a minute, the least that the API takes: it is taken out, asked on, and returns when it passes', async () => {
  const service = services.service('reaped');
  await services.becomes(service, ['reaped-lasting'], 90_000);
  const removal = changes(world.toConsul.requests).find(
    ({ what, id }) => what === 'remove' && id === 'reaped-dead',
  );
  const [firstRun = 0] = reaped.runs;
  expect((removal?.request.at ?? 0) - firstRun).toBeGreaterThan(LEAST_MINUTE_MS);
  await counts('reaped', { registered: 1, passing: 1, critical: 0, removed: 1, summary: '1/1' });
  expect(conditionsOf(await services.get('reaped'))['Ready']?.status).toBe('True');
  const neighbour = await services.instance(service, 'reaped-lasting');

  await reaped.asked(3);
  await services.lookAgain('reaped');
  expect(await services.ids(service)).toEqual(['reaped-lasting']);

  revive();
  await services.becomesPassing(service, ['reaped-dead', 'reaped-lasting']);
  await counts('reaped', { registered: 2, passing: 2, removed: 0, summary: '2/2' });
  const back = (await services.instance(service, 'reaped-lasting')).Service.ModifyIndex;
  expect(back).toBe(neighbour.Service.ModifyIndex);
}, 180_000);

function isLeading({ logs }: Operator): boolean {
  return logs.some(({ msg }) => msg === 'leading');
}
