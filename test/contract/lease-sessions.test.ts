import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { LeaseSessions, leasesNode } from '../../src/commit/lease-sessions.ts';
import type { Tenure } from '../../src/commit/tenure.ts';
import { http } from '../../tools/sandbox/http.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { aTenure } from '../unit/commit/tenures.ts';

const { consulAddress } = inject('sandbox');
const consul = aConsulClient([consulAddress]);
afterAll(() => consul.close());

const OWNER = { kind: 'ConsulLeaderLease', namespace: 'shop', name: 'orders' };
const NEW = { name: 'lease/shop/orders/a/u/1', ttlSeconds: 15, lockDelaySeconds: 5 };

function ofAnInstall(options: { readonly tenure?: Tenure | undefined; readonly dryRun?: boolean } = {}) {
  const installId = `sessions-${randomUUID()}`;
  const tenure = 'tenure' in options ? options.tenure : aTenure();
  const { dryRun = false } = options;
  const sessions = new LeaseSessions({ consul, installId, dryRun, tenure: () => tenure });
  const listed = async () =>
    (await consul.sessions.listNode(leasesNode(installId), { signal, consistency: 'consistent' })).value;
  return { sessions, listed };
}

describe('sessions of leases', () => {
  test('are made on a node of their own, which the first of them brings along', async () => {
    const { sessions, listed } = ofAnInstall();
    expect(await listed()).toEqual([]);
    const first = await sessions.create(OWNER, NEW);
    const second = await sessions.create(OWNER, { ...NEW, name: 'another', lockDelaySeconds: 0 });
    expect((await listed()).map(({ id, name }) => ({ id, name }))).toEqual(
      expect.arrayContaining([
        { id: first, name: NEW.name },
        { id: second, name: 'another' },
      ]),
    );
    const raw = await http(consulAddress, `/v1/session/info/${first}`);
    expect(JSON.parse(raw.body.toString())).toMatchObject([
      { TTL: '15s', LockDelay: 5e9, NodeChecks: [], Behavior: 'release' },
    ]);
  });

  test('are ended, and may be ended twice', async () => {
    const { sessions, listed } = ofAnInstall();
    const id = await sessions.create(OWNER, NEW);
    await sessions.destroy(OWNER, id);
    await sessions.destroy(OWNER, id);
    expect(await listed()).toEqual([]);
  });

  test.each<[who: string, tenure: () => Tenure | undefined]>([
    ['who does not lead', () => undefined],
    [
      'whose tenure is over',
      () => {
        const tenure = aTenure();
        tenure.revoke('lost');
        return tenure;
      },
    ],
  ])('are neither made nor ended by one %s', async (_, tenure) => {
    const { sessions, listed } = ofAnInstall({ tenure: tenure() });
    await expect(sessions.create(OWNER, NEW)).rejects.toMatchObject({ name: 'AbortedError' });
    await expect(sessions.destroy(OWNER, randomUUID() as never)).rejects.toMatchObject({
      name: 'AbortedError',
    });
    expect(await listed()).toEqual([]);
  });

  test('are not touched by one whose lease runs out before the request is sent', async () => {
    let looks = 0;
    const tenure = aTenure();
    const late: Tenure = {
      ...tenure,
      assertHeld: () => {
        looks += 1;
        if (looks > 1) tenure.revoke('late');
        tenure.assertHeld();
      },
    };
    const { sessions, listed } = ofAnInstall({ tenure: late });
    await expect(sessions.create(OWNER, NEW)).rejects.toMatchObject({ name: 'AbortedError' });
    expect(looks).toBe(2);
    expect(await listed()).toEqual([]);
  });

  test('are not touched by a dry run', async () => {
    const { sessions, listed } = ofAnInstall({ dryRun: true });
    await expect(sessions.create(OWNER, NEW)).rejects.toMatchObject({ code: 'DRY_RUN' });
    await expect(sessions.destroy(OWNER, randomUUID() as never)).rejects.toMatchObject({ code: 'DRY_RUN' });
    expect(await listed()).toEqual([]);
  });
});
