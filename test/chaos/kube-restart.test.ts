import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulKvs } from '../support/consulkv.ts';
import { isConsulWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

let sandbox: Sandbox;
let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  sandbox = await startSandbox();
  world = await World.create('kube-restart', sandbox);
  kvs = new ConsulKvs(world);
  await world.startOperator();
});

afterAll(async () => {
  await world.close();
  await sandbox.close();
});

/** Row 17. */
test.for(['apiServer', 'etcd'] as const)(
  '%s is restarted: nothing is written for it, and the next change arrives',
  async server => {
    const key = world.key(server);
    await kvs.declareReady(server.toLowerCase(), { key, value: 'before' });
    const before = world.toConsul.requests.length;

    await sandbox[server].stop();
    await world.consul.kvPut(key, 'edited');
    await sandbox[server].start();
    await sandbox.apiServer.ready();
    await world.becomesStored(server, { '': 'before' });
    await kvs.changeReady(server.toLowerCase(), { value: 'after' });

    expect(await world.stored(server)).toEqual({ '': 'after' });
    expect(
      world.toConsul.requests.slice(before).filter(isConsulWrite),
      'the correction and the change',
    ).toHaveLength(2);
  },
);
