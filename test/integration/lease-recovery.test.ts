import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { Matcher } from '../support/fault-rules.ts';
import { ConsulKvs } from '../support/consulkv.ts';
import { type Holder, Leases } from '../support/leases.ts';
import { World } from '../support/world.ts';

let world: World;
let leases: Leases;

beforeAll(async () => {
  world = await World.create('lease-recovery');
  leases = new Leases(world);
  await world.startOperator();
});

afterAll(async () => world.close());

const token = (holder: Holder | undefined): bigint => BigInt(holder?.fencingToken ?? 0);

describe('an admin', () => {
  /** The lease is held again, by another session and with a higher token; Consul and status agree. */
  async function recovers(name: string, key: string, before: Holder): Promise<void> {
    await eventually(
      async () => {
        const [now] = await leases.holders(name);
        expect(now?.sessionID).not.toBe(before.sessionID);
        expect(token(now)).toBeGreaterThan(token(before));
        const entry = await leases.lock(key);
        expect(entry?.session).toBe(now?.sessionID);
        expect(entry?.lock.fencingToken).toBe(now?.fencingToken);
      },
      { what: `${name} is held again` },
    );
    expect((await leases.get(name))['status'].transitions).toBe(1);
    expect(await leases.labelled(name)).toEqual([`${name}-a`]);
    await eventually(async () => expect(await sessionsOf(name)).toHaveLength(1), {
      what: 'one session is left',
    });
  }

  test.each<[what: string, name: string, act: (key: string, session: string) => Promise<unknown>]>([
    ['deletes the key', 'key-deleted', key => world.consul.kvDelete(key)],
    [
      'releases the lock',
      'lock-released',
      (key, session) => world.consul.kvPut(key, '', { release: session }),
    ],
    ['destroys the session', 'session-destroyed', (_key, session) => world.consul.destroySession(session)],
  ])('%s: the lease is granted anew, with a higher token', async (_what, name, act) => {
    const key = world.key(`leases/${name}`);
    await leases.readyPods(name, [`${name}-a`]);
    await leases.declare(name, { key, session: { lockDelay: '1s' } });
    const [before] = await leases.ledBy(name, `${name}-a`);
    await act(key, before?.sessionID ?? '');
    await recovers(name, key, before as Holder);
  });

  test('edits the value, the flags, or both: put right, and the holder stays', async () => {
    const key = world.key('leases/edited');
    await leases.readyPods('edited', ['edited-a']);
    await leases.declare('edited', { key });
    const [before] = await leases.ledBy('edited', 'edited-a');
    const written = await leases.lock(key);
    for (const [value, flags] of [
      ['', 0n],
      ['{"holder":"me"}', 7n],
      [written?.text ?? '', 8n],
    ] as const) {
      await world.consul.kvPut(key, value, { flags });
      await eventually(
        async () => {
          const { text, flags: now, session } = (await leases.lock(key)) ?? {};
          expect({ text, now, session }).toEqual({
            text: written?.text,
            now: written?.flags,
            session: before?.sessionID,
          });
        },
        { what: 'the lock is as it was written' },
      );
    }
    expect(await leases.holders('edited')).toEqual([before]);
  });

  test('deletes the owner record: it is written again, and the holder stays', async () => {
    await leases.readyPods('recordless', ['recordless-a']);
    await leases.declare('recordless', { key: world.key('leases/recordless') });
    const [before] = await leases.ledBy('recordless', 'recordless-a');
    const record = `proconsul/${world.installId}/owners/ConsulLeaderLease/${world.namespace}/recordless`;
    await world.consul.kvDelete(record);
    await eventually(async () => expect(await world.consul.kvGet(record)).toBeDefined(), {
      what: 'the record is there again',
    });
    const [after] = await leases.ledBy('recordless', 'recordless-a');
    expect(after?.sessionID).toBe(before?.sessionID);
    expect(token(after)).toBeGreaterThanOrEqual(token(before));
  });

  test('makes a session of the name of a grant that was cut short: it is ended', async () => {
    await leases.readyPods('stray', ['stray-a']);
    await leases.declare('stray', {});
    const [holder] = await leases.ledBy('stray', 'stray-a');
    await world.consul.createSession({
      Node: `proconsul-${world.installId}-leases`,
      NodeChecks: [],
      TTL: '15s',
      Name: `lease/${world.namespace}/stray/stray-a/${holder?.uid}/cut-short`,
    });
    await eventually(
      async () => expect((await sessionsOf('stray')).map(({ ID }) => ID)).toEqual([holder?.sessionID]),
      { what: 'only the session of the holder is left' },
    );
  });

  test('makes a session for a lease that does not exist: it is ended', async () => {
    await leases.readyPods('exists', ['exists-a']);
    await leases.declare('exists', {});
    await leases.ledBy('exists', 'exists-a');
    await world.consul.createSession({
      Node: `proconsul-${world.installId}-leases`,
      NodeChecks: [],
      TTL: '15s',
      Name: `lease/${world.namespace}/never/never-a/uid/attempt`,
    });
    await eventually(async () => expect(await sessionsOf('never')).toEqual([]), { what: 'it is ended' });
  });
});

describe('a key that is used for something else is left as it is', () => {
  const GO_LOCK = 0x2ddccbc058a50c18n;
  const GO_SEMAPHORE = 0xe0f69a2baa414de0n;

  test('also one that is written between the look and the lock', async () => {
    const key = world.key('leases/between');
    const isLock: Matcher = ({ path, body }) =>
      path === '/v1/txn' && body.includes('"Verb":"lock"') && body.includes(key);
    const rule = world.toConsul.when(isLock, { kind: 'hold' }, { times: 1 });
    await leases.readyPods('between', ['between-a']);
    await leases.declare('between', { key });
    await eventually(() => rule.hits.length > 0, { what: 'the lock is on its way' });
    await world.consul.kvPut(key, 'data of somebody');
    const before = await leases.lock(key);
    rule.release();
    await leases.stands('between', { ready: 'False', reason: 'AlreadyExists', stalled: true });
    expect(await leases.lock(key)).toEqual(before);
  });

  test.each<[what: string, name: string, value: string, flags: bigint, says: string]>([
    ['a lock of Go', 'go-lock', '', GO_LOCK, "Go's api.Lock"],
    ['a semaphore of Go', 'go-semaphore', '', GO_SEMAPHORE, "Go's api.Semaphore"],
    ['plain data', 'data', 'data of somebody', 0n, 'data'],
  ])('%s', async (_what, name, value, flags, says) => {
    const key = world.key(`leases/${name}`);
    await world.consul.kvPut(key, value, { flags });
    const before = await leases.lock(key);
    await leases.readyPods(name, [`${name}-a`]);
    await leases.declare(name, { key });
    const lease = await leases.stands(name, { ready: 'False', reason: 'AlreadyExists', stalled: true });
    expect(lease['status'].conditions[0].message).toContain(says);
    expect(await leases.lock(key)).toEqual(before);
    expect(await sessionsOf(name)).toEqual([]);
    expect(await world.records()).not.toHaveProperty([`ConsulLeaderLease/${world.namespace}/${name}`]);
    await world.consul.kvDelete(key);
    await leases.ledBy(name, `${name}-a`);
  });

  test('a lock that a session of somebody else holds', async () => {
    const key = world.key('leases/strangers');
    const session = await world.consul.createSession({ Name: 'a stranger', TTL: '60s', LockDelay: '0s' });
    await world.consul.kvPut(key, 'theirs', { acquire: session });
    const before = await leases.lock(key);
    await leases.readyPods('strangers', ['strangers-a']);
    await leases.declare('strangers', { key });
    const lease = await leases.stands('strangers', {
      ready: 'False',
      reason: 'AlreadyExists',
      stalled: true,
    });
    expect(lease['status'].conditions[0].message).toContain('a stranger');
    expect(await leases.lock(key)).toEqual(before);
    await world.consul.destroySession(session);
  });

  test('data that takes the place of the lock while it is held: nobody holds it, and the status says so', async () => {
    const key = world.key('leases/overrun');
    await leases.readyPods('overrun', ['overrun-a']);
    await leases.declare('overrun', { key });
    const [holder] = await leases.ledBy('overrun', 'overrun-a');
    await world.consul.txn([
      { KV: { Verb: 'delete', Key: key } },
      { KV: { Verb: 'set', Key: key, Value: Buffer.from('data').toString('base64'), Flags: 5 } },
    ]);
    const lease = await leases.stands('overrun', { ready: 'False', reason: 'AlreadyExists', stalled: true });
    expect(leases.holdersOf(lease)).toEqual([]);
    expect((await leases.lock(key))?.text).toBe('data');
    await world.consul.kvDelete(key);
    const [after] = await leases.ledBy('overrun', 'overrun-a');
    expect(token(after)).toBeGreaterThan(token(holder));
  });
});

describe('a key that another resource owns', () => {
  test('of another lease: Conflict, and when that one goes the next has it', async () => {
    const key = world.key('leases/contended');
    await leases.readyPods('winner', ['winner-a']);
    await leases.readyPods('loser', ['loser-a']);
    await leases.declare('winner', { key });
    await leases.ledBy('winner', 'winner-a');
    await leases.declare('loser', { key });
    const lease = await leases.stands('loser', { ready: 'False', reason: 'Conflict', stalled: true });
    expect(lease['status'].conditions[0].message).toContain(`ConsulLeaderLease ${world.namespace}/winner`);
    await leases.remove('winner');
    await leases.ledBy('loser', 'loser-a');
  });

  test('of a ConsulKV: Conflict, and its value stays', async () => {
    const kvs = new ConsulKvs(world);
    const key = world.key('leases/kept');
    await kvs.declareReady('kept', { key, value: 'kept' });
    await leases.readyPods('against', ['against-a']);
    await leases.declare('against', { key });
    await leases.stands('against', { ready: 'False', reason: 'Conflict', stalled: true });
    expect((await leases.lock(key))?.text).toBe('kept');
  });
});

async function sessionsOf(name: string): Promise<readonly { readonly ID: string }[]> {
  return (await leases.sessions()).filter(({ Name }) => Name.startsWith(`lease/${world.namespace}/${name}/`));
}
