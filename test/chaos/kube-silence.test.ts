import { afterAll, beforeAll, expect, test } from 'vitest';
import { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { LogLine } from '../support/operator.ts';
import { World } from '../support/world.ts';

/** Longer than the silence after which a watch is given up: bookmarks come about once a minute. */
const SILENCE_MS = 100_000;

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  world = await World.create('kube-silence');
  kvs = new ConsulKvs(world);
});

afterAll(() => world.close());

/** Row 12: no FIN, no reset, no byte. This test has to wait as long as the operator does. */
test('the API server goes silent: watches are given up and opened anew', { timeout: 180_000 }, async () => {
  const operator = await world.startOperator();
  await kvs.declareReady('kept', { key: world.key('kept'), value: 'before' });

  world.toKube.network.freeze();
  await kvs.change('kept', { value: 'after' });
  const gaveUp = ({ msg, resources }: LogLine): boolean =>
    msg === 'watch of the API server interrupted' && String(resources) === 'consulkvs';
  const what = 'the silent watch is given up';
  await eventually(() => operator.logs.some(gaveUp), { what, timeoutMs: SILENCE_MS, pollMs: 250 });
  expect(await world.stored()).toEqual({ kept: 'before' });

  world.toKube.network.cutAll();
  world.toKube.network.thaw();
  await world.becomesStored('', { kept: 'after' });
  await kvs.ready('kept');
});
