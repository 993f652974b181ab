import { afterEach, beforeEach, expect, test } from 'vitest';
import { conditionsOf } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { Matcher } from '../support/fault-rules.ts';
import { Leases } from '../support/leases.ts';
import { World } from '../support/world.ts';

/** What a lease does while the API server refuses a part of it. */

let world: World;
let leases: Leases;

beforeEach(async () => {
  world = await World.create('lease-kube');
  leases = new Leases(world);
});

afterEach(() => world.close());

const service = (name: string) => ({ service: { name: `${name}-leader`, ports: [{ port: 80 }] } });

const answer = (code: number, reason: string, message: string) =>
  ({
    kind: 'reply',
    status: code,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code, message }),
  }) as const;

const isPodPatch: Matcher = ({ method, path }) => method === 'PATCH' && path.includes('/pods/');

test('labels cannot be written: the status tells who leads all the same, and the label follows once it can', async () => {
  await world.startOperator();
  await leases.readyPods('unlabelled', ['unlabelled-a', 'unlabelled-b']);
  await leases.declare('unlabelled');
  const [before] = await leases.ledBy('unlabelled', 'unlabelled-a');

  const rule = world.toKube.when(isPodPatch, answer(500, 'InternalError', 'a webhook failed'));
  await leases.setReady('unlabelled-a', false);
  await eventually(
    async () =>
      expect((await leases.holders('unlabelled')).map(({ name }) => name)).toEqual(['unlabelled-b']),
    { what: 'the status tells the new holder' },
  );
  const [now] = await leases.holders('unlabelled');
  expect(BigInt(now?.fencingToken ?? 0)).toBeGreaterThan(BigInt(before?.fencingToken ?? 0));
  expect((await leases.ready('unlabelled'))?.status).toBe('False');
  expect((await leases.ready('unlabelled'))?.message).toContain('a webhook failed');
  expect(rule.hits.length).toBeGreaterThan(0);

  rule.remove();
  await leases.ledBy('unlabelled', 'unlabelled-b');
});

test('Services may not be listed: who needs none is held, who needs one says so, and both can go', async () => {
  const rules = ['services', 'endpointslices'].map(plural =>
    world.toKube.when(
      ({ method, path }) => method === 'GET' && path.endsWith(`/${plural}`),
      answer(403, 'Forbidden', `${plural} is forbidden: cannot list resource`),
    ),
  );
  const operator = await world.startOperator();
  for (const name of ['plain', 'routed']) await leases.readyPods(name, [`${name}-a`]);
  await leases.declare('plain');
  await leases.declare('routed', service('routed'));

  await leases.ledBy('plain', 'plain-a');
  const refused = await leases.stands('routed', {
    ready: 'False',
    reason: 'SourceForbidden',
    reconciling: true,
  });
  expect(conditionsOf(refused)['Ready']?.message).toContain('lacks list and watch on');
  expect(await leases.labelled('routed')).toEqual([]);
  expect((await operator.probe('/readyz')).status).toBe(200);
  await leases.remove('plain');
  expect(await leases.labelled('plain')).toEqual([]);

  for (const rule of rules) rule.remove();
  await leases.ledBy('routed', 'routed-a');
});

test('Services may not be listed any more after one was made: deleting is not held up', async () => {
  const operator = await world.startOperator();
  await leases.readyPods('routed', ['routed-a']);
  await leases.declare('routed', service('routed'));
  await leases.ledBy('routed', 'routed-a');
  await operator.stop();
  world.toKube.when(
    ({ method, path }) => method === 'GET' && path.endsWith('/services'),
    answer(403, 'Forbidden', 'services is forbidden: cannot list resource'),
  );
  await world.startOperator();
  await leases.remove('routed');
  expect(await leases.lock(leases.defaultKey('routed'))).toBeUndefined();
  expect(await leases.labelled('routed')).toEqual([]);
});
