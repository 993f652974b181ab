/** A restored snapshot revives the session of a leader of the past. Needs a Consul of its own. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Candidate, createCandidate, type Leadership, leaseTiming } from '../../src/election/index.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { http } from '../../tools/sandbox/http.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { eventually } from '../support/eventually.ts';

let sandbox: Awaited<ReturnType<typeof startConsulSandbox>>;

beforeAll(async () => {
  sandbox = await startConsulSandbox();
});

afterAll(() => sandbox.close());

test('a restored snapshot ends the tenure; the session it revives is cleared by whom it was of, and serves nobody', async () => {
  const address = sandbox.servers[0]?.address ?? '';
  await using consul = aConsulClient([address]);
  const candidate = (name: string): Candidate =>
    createCandidate({
      consul,
      lockKey: 'lock',
      node: 'virtual',
      name,
      timing: leaseTiming({ ttlSeconds: 10, lockDelaySeconds: 0 }),
      clock: systemClock,
      random: Math.random,
      signal,
      value: () => ({ holder: name, uid: name }),
    });
  const [one, other] = [candidate('one'), candidate('other')];
  const past = await one.campaign();
  const snapshot = await http(address, '/v1/snapshot');
  await one.resign();
  const present = await other.campaign();
  await http(address, '/v1/snapshot', { method: 'PUT', body: snapshot.body });

  await eventually(() => present.signal.aborted, { what: 'the tenure of before has ended' });
  const leadership: Leadership = await Promise.race([one.campaign(), other.campaign()]);
  expect(leadership.session).not.toBe(past.session);
  expect(leadership.session).not.toBe(present.session);
  expect(leadership.fencingToken).toBeGreaterThan(present.fencingToken);
  await eventually(
    async () => {
      const { value } = await consul.sessions.listNode('virtual', { signal, consistency: 'consistent' });
      expect(value.map(({ id }) => id)).toEqual([leadership.session]);
    },
    { what: 'the session of the leader is the only one' },
  );
  await Promise.all([one.resign(), other.resign()]);
});
