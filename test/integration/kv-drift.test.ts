import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { conditionsOf, type ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { unique, type World } from '../support/world.ts';

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  ({ world, kvs } = await createRunningWorld('kv-drift'));
});

afterAll(async () => world.close());

const FLAGS = 7;

/** The outside edits, and what stands there then. */
const edits = [
  {
    edit: 'another value',
    make: (key: string) => world.consul.kvPut(key, 'edited', { flags: BigInt(FLAGS) }),
    left: { text: 'edited', flags: 7n },
  },
  {
    edit: 'other flags',
    make: (key: string) => world.consul.kvPut(key, 'ours', { flags: 8n }),
    left: { text: 'ours', flags: 8n },
  },
  { edit: 'a deletion', make: (key: string) => world.consul.kvDelete(key), left: undefined },
];
const ours = { text: 'ours', flags: BigInt(FLAGS) };

async function at(key: string): Promise<{ text: string; flags: bigint } | undefined> {
  const entry = await world.consul.kvGet(key);
  return entry && { text: entry.text, flags: entry.flags };
}

describe.each(edits)('$edit', ({ edit, make, left }) => {
  const named = (policy: string) => `${policy}-${edit.split(' ').at(-1)}`;
  const declared = async (driftPolicy: string) => {
    const name = named(driftPolicy.toLowerCase());
    const key = world.key(name);
    await kvs.declareReady(name, { key, value: 'ours', flags: FLAGS, driftPolicy });
    return { name, key };
  };

  test('is put back under Correct, and told', async () => {
    const { name, key } = await declared('Correct');
    await make(key);
    await eventually(async () => expect(await at(key)).toEqual(ours), {
      what: 'the key is as declared',
    });
    expect((await kvs.event(name, 'DriftCorrected')).note).toContain(key);
    expect(conditionsOf(await kvs.ready(name))['Drifted']?.status).toBe('False');
  });

  test('is shown under Report, by name, and left; and no longer shown when it is undone', async () => {
    const { name, key } = await declared('Report');
    await make(key);
    const { Ready, Drifted } = conditionsOf(await kvs.drifted(name));
    expect(Drifted?.message).toContain(key);
    expect(Ready?.status).toBe('True');
    expect((await kvs.event(name, 'DriftDetected')).note).toContain(key);
    await kvs.lookAgain(name);
    expect(await at(key)).toEqual(left);
    await world.consul.kvPut(key, 'ours', { flags: BigInt(FLAGS) });
    await kvs.ready(name);
  });

  test("is nobody's business under Ignore", async () => {
    const { name, key } = await declared('Ignore');
    await make(key);
    await kvs.lookAgain(name);
    await kvs.ready(name);
    expect(await at(key)).toEqual(left);
    const reasons = (await kvs.events(name)).map(({ reason }) => reason);
    expect(reasons).not.toContain('DriftDetected');
    expect(reasons).not.toContain('DriftCorrected');
  });

  test.each(['Correct', 'Report', 'Ignore'])(
    'does not stand in the way of a new wish under %s',
    async policy => {
      const { name, key } = await declared(policy);
      await make(key);
      if (policy === 'Report') await kvs.drifted(name);
      else await kvs.lookAgain(name);
      await kvs.changeReady(name, { value: 'new' });
      expect(await at(key)).toEqual({ text: 'new', flags: BigInt(FLAGS) });
    },
  );

  test('ends when the policy becomes Correct', async () => {
    const { name, key } = await declared('Report');
    await make(key);
    await kvs.drifted(name);
    await kvs.changeReady(name, { driftPolicy: 'Correct' });
    expect(await at(key)).toEqual(ours);
  });

  test('is not seen as one when it makes the wish of tomorrow come true', async () => {
    const { name, key } = await declared('Report');
    await make(key);
    await kvs.drifted(name);
    if (left === undefined) return kvs.remove(name);
    await kvs.changeReady(name, { value: left.text, flags: Number(left.flags) });
    expect(await at(key)).toEqual(left);
    // From now on that is what the operator wrote: another edit is drift again.
    await world.consul.kvPut(key, 'edited again');
    await kvs.drifted(name);
    await kvs.remove(name);
    expect(await at(key)).toBeUndefined();
  });
});

describe('drift in a tree', () => {
  test('touches only what differs', async () => {
    const prefix = world.key('tree/');
    await kvs.declareReady('tree', { prefix, data: { a: '1', b: '2', 'c/d': '3' } });
    const before = await world.consul.kvList(prefix);
    await world.consul.txn([
      { KV: { Verb: 'set', Key: `${prefix}a`, Value: Buffer.from('edited').toString('base64') } },
      { KV: { Verb: 'delete', Key: `${prefix}c/d` } },
      { KV: { Verb: 'set', Key: `${prefix}stranger`, Value: '' } },
    ]);
    await world.becomesStored('tree/', { a: '1', b: '2', 'c/d': '3', stranger: '' });
    const after = await world.consul.kvList(prefix);
    expect(after.get(`${prefix}b`)).toEqual(before.get(`${prefix}b`));
  });

  test('is told with the names, the first ten and how many more', async () => {
    const prefix = world.key('many/');
    const names = Array.from({ length: 12 }, (_, n) => `k${String(n).padStart(2, '0')}`);
    const data = Object.fromEntries(names.map(name => [name, 'ours']));
    await kvs.declareReady('many', { prefix, data, driftPolicy: 'Report' });
    await world.consul.kvDelete(prefix, { recurse: true });
    const all = names
      .slice(0, 10)
      .map(name => prefix + name)
      .join(', ');
    await expect
      .poll(async () => conditionsOf(await kvs.get('many'))['Drifted']?.message)
      .toBe(`changed in Consul from outside: ${all} and 2 more`);
  });
});

describe('a new wish from a source', () => {
  test.each(['Correct', 'Report', 'Ignore'])('is written under %s', async driftPolicy => {
    const name = `source-${driftPolicy.toLowerCase()}`;
    await world.configMap(name, { word: 'one' });
    const valueFrom = { configMapKeyRef: { name, key: 'word' } };
    await kvs.declareReady(name, { key: world.key(name), valueFrom, driftPolicy });
    await world.configMap(name, { word: 'two' });
    await world.becomesStored(name, { '': 'two' });
  });
});

describe.concurrent('what no blocking query covers', () => {
  test('a key in no folder is swept, and put back, too', async () => {
    const key = unique('swept');
    const ready = await kvs.declareReady('rootless', { key, value: 'ours' });
    expect(ready['status'].effective.drift).toBe('Swept');
    await world.consul.kvPut(key, 'edited');
    await eventually(async () => expect((await world.consul.kvGet(key))?.text).toBe('ours'), {
      what: 'the key is put back',
    });
    await kvs.remove('rootless');
    expect(await world.consul.kvGet(key)).toBeUndefined();
  });

  test('more than four first folders: all are put back, whether watched or swept', async () => {
    const folders = Array.from({ length: 6 }, (_, n) => unique(`f${n}`));
    const ways: string[] = [];
    for (const [n, folder] of folders.entries()) {
      const ready = await kvs.declareReady(`folder-${n}`, { key: `${folder}/x`, value: 'ours' });
      ways.push(ready['status'].effective.drift);
    }
    expect(new Set(ways)).toEqual(new Set(['Watched', 'Swept']));
    for (const folder of folders) await world.consul.kvPut(`${folder}/x`, 'edited');
    for (const folder of folders) {
      await eventually(async () => expect((await world.consul.kvGet(`${folder}/x`))?.text).toBe('ours'), {
        what: 'the key is put back',
      });
    }
    for (const n of folders.keys()) await kvs.remove(`folder-${n}`);
  });
});
