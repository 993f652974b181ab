import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { InstallLease } from '../../src/operator/install-lease.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { KubeWorld } from './kube-support.ts';

const { signal } = new AbortController();
const installId = `lease-${randomUUID().slice(0, 8)}`;

let world: KubeWorld;

beforeAll(async () => {
  world = await KubeWorld.create();
});

afterAll(() => world.close());

test('of several that take the Lease over as they read it, one succeeds, whether there was one or not', async () => {
  const [one, other] = [await aLease('one'), await aLease('other')];
  for (const transitions of [1, 2]) {
    const [seenByOne, seenByOther] = await Promise.all([one.read(signal), other.read(signal)]);

    const taken = await Promise.all([one.takeOver(seenByOne, signal), other.takeOver(seenByOther, signal)]);

    expect(taken.toSorted()).toEqual([false, true]);
    expect((await one.read(signal))?.spec).toMatchObject({
      holderIdentity: taken[0] ? 'one' : 'other',
      leaseTransitions: transitions,
    });
  }
});

async function aLease(identity: string): Promise<InstallLease> {
  const lease = new InstallLease({
    client: await world.client(),
    namespace: 'default',
    installId,
    identity,
    clock: systemClock,
  });
  world.closeLater(() =>
    world.api.delete({
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: lease.name, namespace: 'default' },
    }),
  );
  return lease;
}
