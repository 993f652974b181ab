import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Consul } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulIntentions } from '../support/consulintention.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import type { Operator } from '../support/operator.ts';
import { standingOf, turnsOf } from '../support/resources.ts';
import { isConsulWrite, isKubernetesWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** What many intentions cost: each of its own destination, in a Consul of their own. */

const MANY = 500;
/** More than the single looks at one entry now and then that tell whether Consul is the same as before. */
const LOOKS = MANY / 10;
const names = Array.from({ length: MANY }, (_, n) => `many-${n}`);

let own: Consul & { close(): Promise<void> };
let world: World;
let intentions: ConsulIntentions;
let operator: Operator;

beforeAll(async () => {
  own = await startConsulSandbox();
  world = await World.create('intent-scale', { consulAddress: own.address });
  intentions = new ConsulIntentions(world);
  operator = await world.startOperator();
  await Promise.all(names.map(name => intentions.declare(name, spec(name))));
  await allReady();
});

afterAll(async () => {
  await world.close();
  await own.close();
});

test('five hundred new ones: one write of an entry each, read before and after, and nothing failed', () => {
  expect(world.toConsul.requests.filter(isEntryWrite)).toHaveLength(MANY);
  expect(world.toConsul.requests.filter(isEntryRead).length).toBeLessThan(2 * MANY + LOOKS);
  expect(operator.logs.filter(({ msg }) => msg.startsWith('reconcile failed'))).toEqual([]);
});

test('a restart reads them with one list, looks at every one and writes nothing to either side', async () => {
  await world.stopOperators();
  const consul = since(world.toConsul.requests);
  const kube = since(world.toKube.requests);
  operator = await world.startOperator();
  await eventually(async () => (await turnsOf(operator)) >= MANY, { what: 'every resource was looked at' });
  expect(consul().filter(isConsulWrite)).toEqual([]);
  expect(consul().filter(isEntryRead).length).toBeLessThan(LOOKS);
  expect(kube().filter(isKubernetesWrite)).toEqual([]);
});

test('an outside edit of one of five hundred is put back by one PUT, and no other one is written', async () => {
  const consul = since(world.toConsul.requests);
  await intentions.editByHand('many-250', 'web', { Action: 'deny' });
  await intentions.becomes('many-250', { web: 'allow' });
  await intentions.event('many-250', 'DriftCorrected');
  await intentions.ready('many-250');
  const writes = consul().filter(isConsulWrite);
  expect(writes.map(({ method, path }) => [method, path])).toEqual([['PUT', '/v1/config']]);
  expect(JSON.parse(writes[0]?.body ?? '')).toMatchObject({ Name: intentions.service('many-250') });
});

function spec(name: string): Readonly<Record<string, unknown>> {
  return { destination: intentions.service(name), sources: [{ name: 'web', action: 'allow' }] };
}

/** One list of all: a question for each takes longer than the operator. */
async function allReady(): Promise<void> {
  const standings = async () => {
    const all = await world.kube.list(intentions.object(''), world.namespace);
    const reasons = all.map(resource => standingOf(resource).reason);
    expect(reasons).toEqual(names.map(() => 'Applied'));
  };
  await eventually(standings, { what: 'all are applied', timeoutMs: 90_000, pollMs: 250 });
}

function isEntryWrite({ method, path }: RecordedRequest): boolean {
  return method !== 'GET' && path.startsWith('/v1/config');
}

/** Of one destination. */
function isEntryRead({ method, path }: RecordedRequest): boolean {
  return method === 'GET' && path.startsWith('/v1/config/service-intentions/');
}

/** What was recorded from now on. */
function since(requests: readonly RecordedRequest[]): () => readonly RecordedRequest[] {
  const begun = requests.length;
  return () => requests.slice(begun);
}
