import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConsulIntentions } from '../support/consulintention.ts';
import { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import type { Operator } from '../support/operator.ts';
import { conditionsOf, turnsOf } from '../support/resources.ts';
import { isConsulWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Resources that share one destination, all new at once. */
const CROWD = 24;

let world: World;
let intentions: ConsulIntentions;
let operator: Operator;

beforeEach(async () => {
  world = await World.create('intent-counts');
  intentions = new ConsulIntentions(world);
  operator = await world.startOperator();
});

afterEach(async () => {
  await world.close();
  await intentions.clear();
});

const spec = (service: string, ...names: readonly string[]) => ({
  destination: intentions.service(service),
  sources: names.map(name => ({ name, action: 'allow' })),
});

const isOfConfig = ({ path }: RecordedRequest): boolean => path.startsWith('/v1/config');
const isConfigWrite = (request: RecordedRequest): boolean => isOfConfig(request) && request.method !== 'GET';
/** Requests from now on. */
function watchRequests(): () => readonly RecordedRequest[] {
  const { requests } = world.toConsul;
  const begun = requests.length;
  return () => requests.slice(begun);
}

test('without a ConsulIntention nobody asks Consul about config entries', async () => {
  const kvs = new ConsulKvs(world);
  await kvs.declareReady('other', { key: world.key('other'), value: 'x' });
  await kvs.lookAgain('other');
  expect(world.toConsul.requests.filter(isOfConfig)).toEqual([]);
});

test('resources that share a destination write one after the other, and none of them in vain', async () => {
  const names = Array.from({ length: CROWD }, (_, n) => `crowd-${n}`);
  const since = watchRequests();
  await Promise.all(names.map(name => intentions.declare(name, spec('crowd', name))));
  await Promise.all(names.map(name => intentions.ready(name)));
  expect(Object.keys((await intentions.actions('crowd')) ?? {}).sort()).toEqual(names.toSorted());
  expect(since().filter(isConfigWrite)).toHaveLength(CROWD);
  expect(operator.logs.filter(({ msg }) => msg.startsWith('reconcile failed'))).toEqual([]);
});

test('what Consul refuses although all that it names is there is sent twice, and then not before a minute', async () => {
  await intentions.protocol('l7', 'http');
  const named = `service "${intentions.service('l7')}" has protocol "tcp", which is incompatible with L7 intentions`;
  const isOfRequests = (request: RecordedRequest) =>
    isConfigWrite(request) && request.body.includes('Permissions');
  const rule = world.toConsul.when(isOfRequests, { kind: 'reply', status: 500, body: named });
  const permissions = [{ action: 'allow', http: { pathPrefix: '/' } }];
  await intentions.declare('l7', { ...spec('l7'), sources: [{ name: 'web', permissions }] });
  await intentions.waiting('l7', 'DependencyNotReady');
  await eventually(() => rule.hits.length === 2, { what: 'the watch has said that the protocol is there' });
  for (let edit = 0; edit < 5; edit++) {
    const before = await turnsOf(operator);
    await intentions.writeByHand('l7', [{ Name: `hand-${edit}`, Action: 'allow' }]);
    await eventually(async () => (await turnsOf(operator)) > before, { what: 'the edit was looked at' });
  }
  expect(rule.hits).toHaveLength(2);
  rule.remove();
  await intentions.lookAgain('l7');
  await intentions.ready('l7');
});

test('a start with converged intentions reads none of them alone and writes nothing', async () => {
  const names = ['a', 'b', 'c'];
  await Promise.all(names.map(name => intentions.declareReady(name, spec(name, 'web'))));
  const entries = async () => Promise.all(names.map(async name => intentions.entry(name)));
  const stood = await entries();
  await world.stopOperators();
  const since = watchRequests();
  await world.startOperator();
  await intentions.lookAgain('a');
  expect(since().filter(isConsulWrite)).toEqual([]);
  // The one that was asked for.
  const alone = since().filter(({ path }) => path.startsWith('/v1/config/service-intentions/'));
  expect(alone.map(({ path }) => path)).toEqual([`/v1/config/service-intentions/${intentions.service('a')}`]);
  expect(await entries()).toEqual(stood);
});

test('a dry run says what it would do and writes nothing', async () => {
  await intentions.declareReady('own', spec('own', 'web'));
  const stood = await intentions.entry('own');
  await world.stopOperators();
  const since = watchRequests();
  await world.startOperator({ PROCONSUL_DRY_RUN: 'true' });
  await intentions.declare('new', spec('new', 'web', 'api'));
  const told = await intentions.stands('new', { ready: 'False', reason: 'DryRun' });
  expect(conditionsOf(told)['Ready']?.message).toBe('dry run: would write web, api');
  await world.kube.delete(intentions.object('own'));
  const held = await intentions.stands('own', { ready: 'False', reason: 'DryRun' });
  expect(conditionsOf(held)['Ready']?.message).toBe('dry run: would remove web');
  expect(since().filter(isConsulWrite)).toEqual([]);
  expect([await intentions.entry('new'), await intentions.entry('own')]).toEqual([undefined, stood]);
});

test('release lets go: entries stay as they are, and resources go without an operator', async () => {
  await intentions.declareReady('own', spec('own', 'web'));
  const stood = await intentions.entry('own');
  await world.stopOperators();
  const command = await world.spawnOperator({}, ['release']);
  expect(await command.waitForExit()).toEqual({ code: 0, signal: null });
  const records = Object.values(await world.records());
  expect(records.map(({ onDelete }) => onDelete)).toEqual(['Retain']);
  await intentions.remove('own');
  expect(await intentions.entry('own')).toEqual(stood);
  await world.startOperator();
  await intentions.declareReady('own', spec('own', 'web'));
  await intentions.remove('own');
  expect(await intentions.entry('own')).toBeUndefined();
});
