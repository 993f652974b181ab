import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Consul } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { settledTallyOf } from '../support/catalog-writes.ts';
import { ConsulServices } from '../support/consulservice.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import type { Operator } from '../support/operator.ts';
import { Pods } from '../support/pods.ts';
import { turnsOf } from '../support/resources.ts';
import { isConsulWrite, isKubernetesWrite, isWritingTransaction } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** What 2,000 instances cost: one service of a thousand Pods and ten of a hundred, in a Consul of their own. */

/** As many as the controller of Kubernetes puts into one. */
const SLICE = 100;
const SIZES: Readonly<Record<string, number>> = {
  big: 1000,
  ...Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`small-${n}`, SLICE])),
};
const ALL = 2000;
/** The least that a transaction holds is about 40 instances; each service has a last one that is not full. */
const MAX_TRANSACTIONS = ALL / 40 + 2 * Object.keys(SIZES).length;
const ROLLOUT = 50;

let own: Consul & { close(): Promise<void> };
let world: World;
let services: ConsulServices;
let pods: Pods;
let operator: Operator;

beforeAll(async () => {
  own = await startConsulSandbox();
  world = await World.create('svc-counts', { consulAddress: own.address });
  services = new ConsulServices(world);
  pods = new Pods(world);
  for (const [app, size] of Object.entries(SIZES)) {
    await pods.service(app, app, { selector: null });
    for (let at = 0; at < size; at += SLICE) await putSlice(app, at);
    await services.declare(app, { name: services.service(app), kubernetes: { service: app } });
  }
});

afterAll(async () => {
  await world.close();
  await own.close();
});

const podOf = (app: string, n: number): string => `${app}-${String(n).padStart(4, '0')}`;
const addressOf = (n: number): string => `10.9.${n >> 8}.${n & 255}`;

/** The slice in which the n-th Pod of an app is. `edit`: what is different about some of its Pods. */
async function putSlice(
  app: string,
  n: number,
  edit: ReadonlyMap<number, { readonly pod?: string; readonly conditions?: object }> = new Map(),
): Promise<void> {
  const first = n - (n % SLICE);
  const endpoints = Array.from({ length: SLICE }, (_, at) => {
    const { pod = podOf(app, first + at), conditions } = edit.get(first + at) ?? {};
    return pods.endpoint(pod, addressOf(first + at), conditions);
  });
  await world.kube.apply(pods.slice(app, `${app}-${first / SLICE}`, { endpoints }));
}

/** What is sent to either server from now on. */
function startWatching() {
  const [consul, kube] = [world.toConsul.requests.length, world.toKube.requests.length];
  const toConsul = (matches: (request: RecordedRequest) => boolean) =>
    world.toConsul.requests.slice(consul).filter(matches);
  return {
    tally: () => settledTallyOf(world.toConsul.requests.slice(consul)),
    transactions: () => toConsul(isWritingTransaction).length,
    consulWrites: () => toConsul(isConsulWrite).map(({ method, path }) => `${method} ${path}`),
    kubernetesWrites: () =>
      world.toKube.requests
        .slice(kube)
        .filter(isKubernetesWrite)
        .map(({ method, path }) => `${method} ${path}`),
  };
}

async function allReady(): Promise<void> {
  for (const [app, size] of Object.entries(SIZES)) {
    await eventually(
      async () => {
        const { status } = await services.ready(app);
        expect(status.instances.summary).toBe(`${size}/${size}`);
      },
      { what: `${app} is applied and passing`, timeoutMs: 90_000, pollMs: 250 },
    );
  }
}

/** Resolves once a start has looked at every resource. */
async function allLookedAt(): Promise<void> {
  await eventually(async () => (await turnsOf(operator)) >= Object.keys(SIZES).length, {
    what: 'every resource was looked at',
  });
}

test('two thousand new ones: each is written once, dozens in a transaction', {
  timeout: 240_000,
}, async () => {
  const watching = startWatching();
  operator = await world.startOperator();
  await allReady();
  expect(await watching.tally()).toEqual({ 'put node': 2, put: ALL, 'put check': ALL });
  process.stdout.write(`${ALL} new instances: ${watching.transactions()} transactions\n`);
  expect(watching.transactions()).toBeLessThanOrEqual(MAX_TRANSACTIONS);
  expect(operator.logs.filter(({ msg }) => msg.startsWith('reconcile failed'))).toEqual([]);
  expect(await services.passing(services.service('big'))).toHaveLength(1000);
});

test('a restart looks at every one and writes nothing to either side', async () => {
  await world.stopOperators();
  const watching = startWatching();
  operator = await world.startOperator();
  await allLookedAt();
  await services.lookAgain('big');
  expect(watching.consulWrites()).toEqual([]);
  // The look that was asked for.
  expect(watching.kubernetesWrites()).toHaveLength(1);
});

test('one Pod of two thousand changes: one transaction, of one operation in the catalog', async () => {
  const watching = startWatching();
  const turns = await turnsOf(operator);
  await putSlice('big', 500, new Map([[500, { conditions: { ready: false } }]]));
  await eventually(async () => expect(await services.passing(services.service('big'))).toHaveLength(999), {
    what: 'it is critical',
  });
  expect(await watching.tally()).toEqual({ 'put check': 1 });
  expect(watching.transactions()).toBe(1);
  await putSlice('big', 500);
  await eventually(async () => expect(await services.passing(services.service('big'))).toHaveLength(1000), {
    what: 'it is passing again',
  });
  expect(await watching.tally()).toEqual({ 'put check': 2 });
  expect(watching.transactions()).toBe(2);
  // The others were not even looked at.
  expect((await turnsOf(operator)) - turns).toBeLessThan(8);
});

test('one Pod of two thousand is replaced: the new one, the old one critical, the old one gone', async () => {
  const watching = startWatching();
  const pod = 'replacement';
  await putSlice('small-3', 7, new Map([[7, { pod }]]));
  const expected = Array.from({ length: SLICE }, (_, n) =>
    services.idOf('small-3', n === 7 ? pod : podOf('small-3', n)),
  );
  await services.becomesPassing(services.service('small-3'), expected);
  await services.becomes(services.service('small-3'), expected);
  expect(await watching.tally()).toEqual({ put: 1, 'put check': 2, remove: 1 });
  expect(watching.transactions()).toBe(2);
});

test('fifty Pods are rolled out at once: what changed is written, in a few transactions', async () => {
  const watching = startWatching();
  const edit = new Map(Array.from({ length: ROLLOUT }, (_, n) => [n, { pod: `new-${n}` }] as const));
  await putSlice('small-5', 0, edit);
  const expected = Array.from({ length: SLICE }, (_, n) =>
    services.idOf('small-5', n < ROLLOUT ? `new-${n}` : podOf('small-5', n)),
  );
  await services.becomesPassing(services.service('small-5'), expected);
  await services.becomes(services.service('small-5'), expected);
  expect(await watching.tally()).toEqual({ put: ROLLOUT, 'put check': 2 * ROLLOUT, remove: ROLLOUT });
  process.stdout.write(`${ROLLOUT} Pods replaced: ${watching.transactions()} transactions\n`);
  expect(watching.transactions()).toBeLessThanOrEqual(6);
});

test('an outside edit of one of two thousand is put back by one transaction', async () => {
  const watching = startWatching();
  const id = services.idOf('big', podOf('big', 321));
  await services.editByHand(services.service('big'), id, { Port: 1 });
  await services.event('big', 'DriftCorrected');
  expect((await services.instance(services.service('big'), id)).Service.Port).toBe(8080);
  expect(await watching.tally()).toEqual({ put: 1 });
  expect(watching.transactions()).toBe(1);
});
