import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConsulKvs } from '../support/consulkv.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { isConsulWrite, isKubernetesWrite } from '../support/traffic.ts';
import type { World } from '../support/world.ts';

/** Promise P9: an install id is of one install, whatever an admin configures. */

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  ({ world, kvs } = await createRunningWorld('election-install'));
  await kvs.declareReady('kept', { key: world.key('kept'), value: 'declared' });
});

afterAll(() => world.close());

test.each([
  ['of another release', { PROCONSUL_RELEASE: 'second' }],
  ['of another namespace', { POD_NAMESPACE: 'second' }],
])('an install %s with the same id refuses to start, says why, and has written nothing', async (_, env) => {
  const before = world.toConsul.requests.length;
  const told = world.toKube.requests.length;

  const second = await world.spawnOperator(env);

  expect(await second.waitForExit()).toEqual({ code: 1, signal: null });
  const { err } = await second.waitForLog(({ msg }) => msg === 'the operator cannot go on');
  expect(err).toMatchObject({
    code: 'INSTALL_ID_TAKEN',
    message:
      `the install id ${world.installId} is in use by release proconsul in namespace default, which leads now: ` +
      'set PROCONSUL_INSTALL_ID to another one',
  });
  expect(world.toConsul.requests.slice(before).filter(isConsulWrite)).toEqual([]);
  expect(world.toKube.requests.slice(told).filter(isKubernetesWrite)).toEqual([]);
  await kvs.lookAgain('kept');
});

test('another replica of the same install stands by', async () => {
  const second = await world.startOperator({ POD_NAME: 'second' });

  const { body } = await second.probe('/readyz?verbose');
  expect(body.toString()).toMatch(/lead.*standing by, .+ leads/);
});
