import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { Operator } from '../support/operator.ts';
import { isConsulWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Promise P4 and rows 14 and 15: resources that vanish while nobody looks. */

const RESOURCES = 30;
const LEASE = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };

let world: World;
let kvs: ConsulKvs;

beforeEach(async () => {
  world = await World.create('removals');
  kvs = new ConsulKvs(world);
});

afterEach(() => world.close());

/** As many as are left when the first 25 are gone. */
const LAST_FIVE = Object.fromEntries(Array.from({ length: 5 }, (_, at) => [`kv-${at + 25}`, 'declared']));

test('one of thirty vanished while the operator was down: its key goes at the next start, the others stay', async () => {
  await convergeAndStop();
  await vanish('kv-7');

  await start();

  const { 'kv-7': _, ...rest } = all();
  await world.becomesStored('', rest);
  expect(Object.keys(await world.records())).toHaveLength(RESOURCES - 1);
});

test('twenty-five of thirty vanished: held until the token is given', async () => {
  await convergeAndStop();
  const lost = Array.from({ length: 25 }, (_, at) => `kv-${at}`);
  await Promise.all(lost.map(vanish));
  const before = world.toConsul.requests.length;

  const operator = await world.spawnOperator(env());
  const said = await operator.waitForLog(({ confirmation }) => confirmation !== undefined, 'the token');
  const token = String(said['confirmation']);
  const { status, body } = await operator.probe('/readyz?verbose');
  expect([status, body.toString()]).toEqual([200, expect.stringContaining(`${lost.length} of ${RESOURCES}`)]);
  expect(body.toString()).toContain(`proconsul.dev/confirm-removal=${token}`);
  await eventually(async () => expect(await leaseEvents()).toEqual([expect.stringContaining(token)]), {
    what: 'an Event at the Lease that names the token',
  });

  await annotateLease(`not-${token}`);
  await nextLook(); // one may have been under way
  await nextLook();
  expect(await world.stored()).toEqual(all());
  expect(world.toConsul.requests.slice(before).filter(isConsulWrite)).toEqual([]);

  await annotateLease(token);
  await world.becomesStored('', LAST_FIVE);
  await operator.ready();
});

test('twenty-five of thirty deleted by their user are never held up, operator running or not', async () => {
  await convergeAndStop();
  for (let at = 0; at < 25; at += 1) await world.kube.delete(kvs.object(`kv-${at}`));

  await start();

  for (let at = 0; at < 25; at += 1) await kvs.gone(`kv-${at}`);
  expect(await world.stored()).toEqual(LAST_FIVE);
});

test('deleted and made again with a new uid while the operator was down: the key is not touched', async () => {
  await start();
  const spec = { key: world.key('again'), value: 'declared' };
  const first = await kvs.declareReady('again', spec);
  await world.stopOperators();
  const before = await world.consul.kvGet(spec.key);
  await vanish('again');
  const second = await kvs.declare('again', spec);
  expect(second.metadata.uid).not.toBe(first.metadata.uid);

  await start();
  await kvs.ready('again');

  expect(await world.consul.kvGet(spec.key)).toEqual(before);
  await eventually(
    async () => {
      const [record] = Object.values(await world.records());
      expect(record).toMatchObject({ uid: second.metadata.uid });
    },
    { what: 'the record names the new resource' },
  );
});

/** The Lease that carries the go-ahead is looked for in the operator's own namespace. */
function env() {
  return { POD_NAMESPACE: world.namespace };
}

function start(): Promise<Operator> {
  return world.startOperator(env());
}

async function convergeAndStop(): Promise<void> {
  await start();
  const names = Object.keys(all());
  await Promise.all(names.map(name => kvs.declare(name, { key: world.key(name), value: 'declared' })));
  for (const name of names) await kvs.ready(name);
  await world.stopOperators();
}

function all(): Record<string, string> {
  return Object.fromEntries(Array.from({ length: RESOURCES }, (_, at) => [`kv-${at}`, 'declared']));
}

/** Gone without the operator's consent, as by `kubectl patch … finalizers: null`. */
async function vanish(name: string): Promise<void> {
  await world.kube.patch(kvs.object(name), { metadata: { finalizers: null } });
  await world.kube.delete(kvs.object(name));
}

function lease() {
  return { ...LEASE, metadata: { name: `proconsul-${world.installId}`, namespace: world.namespace } };
}

async function annotateLease(token: string): Promise<void> {
  await world.kube.patch(lease(), { metadata: { annotations: { 'proconsul.dev/confirm-removal': token } } });
}

/** Resolves when the operator has looked at the Lease again. */
async function nextLook(): Promise<void> {
  const after = world.toKube.requests.length;
  const look = await world.toKube.waitFor(
    ({ method, path }) => method === 'GET' && path.endsWith(`/leases/${lease().metadata.name}`),
    { after, what: 'a look at the Lease' },
  );
  await eventually(() => look.finished, { what: 'the answer to it' });
}

async function leaseEvents(): Promise<string[]> {
  const events = await world.kube.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event' }, world.namespace);
  return events.filter(({ regarding }) => regarding?.kind === 'Lease').map(({ note }) => note as string);
}
