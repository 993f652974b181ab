/** The model that unit tests use in place of Consul answers as Consul does: any operations, in any order. */
import { randomUUID } from 'node:crypto';
import * as fc from 'fast-check';
import { afterAll, expect, inject, test } from 'vitest';
import { encodeOperation, type KvOperation, type TxnOutcome } from '../../src/consul/txn.ts';
import { type ModifyIndex, NOT_THERE, type SessionId } from '../../src/consul/types.ts';
import { http } from '../../tools/sandbox/http.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { ModelConsul } from '../support/model-consul.ts';

const { consulAddress } = inject('sandbox');
const consul = aConsulClient([consulAddress]);
afterAll(() => consul.close());

const NAMES = ['a', 'ab', 'd/x', 'd/x/1', 'd/y', 'é/ü', 'z"\\'];
const VERBS = [
  'cas',
  'cas',
  'cas',
  'delete-cas',
  'check-index',
  'check-not-exists',
  'check-session',
  'get',
  'get-or-empty',
] as const;

/** One operation: which key, which verb, and whether it believes what is there, something older, or nothing. */
const operation = fc.record({
  name: fc.constantFrom(...NAMES),
  verb: fc.constantFrom(...VERBS),
  belief: fc.constantFrom('now', 'now', 'before', 'absent'),
  value: fc.constantFrom('', '0', '1'),
  flags: fc.constantFrom(0n, 7n, 2n ** 64n - 1n),
  session: fc.nat(1),
});
const step = fc.oneof(
  { weight: 6, arbitrary: fc.array(operation, { minLength: 1, maxLength: 4 }) },
  {
    weight: 1,
    arbitrary: fc.record({
      act: fc.constantFrom('put', 'delete', 'acquire', 'release'),
      name: fc.constantFrom(...NAMES),
      value: fc.constantFrom('0', '1'),
      session: fc.nat(1),
    }),
  },
);

test('the model of Consul equals Consul', async () => {
  const sessions = await Promise.all([0, 1].map(aSession));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async steps => {
      const [root, model] = [`model/${randomUUID()}/`, new ModelConsul()];
      const keys = NAMES.map(name => root + name);
      /** Indexes of the one are those of the other, in the same order. */
      const indexes = new Map<number, number>([[0, 0]]);
      const same = (real: number, modelled: number): void => {
        if (!indexes.has(real)) indexes.set(real, modelled);
        expect(indexes.get(real)).toBe(modelled);
      };
      const known = new Map<string, ModifyIndex[]>();
      for (const each of steps) {
        if (Array.isArray(each)) {
          const real = each.map(wanted => operationOf(root, wanted, known, sessions));
          const modelled = real.map(one =>
            'index' in one ? { ...one, index: indexes.get(one.index) as ModifyIndex } : one,
          );
          const [answer, guess] = await Promise.all([
            consul.txn.submit(real.map(encodeOperation), { signal }),
            model.txn.submit(modelled.map(encodeOperation), { signal }),
          ]);
          expect(told(guess)).toEqual(told(answer));
          if (answer.applied && guess.applied)
            for (const [n, entry] of answer.entries.entries())
              same(entry.modifyIndex, guess.entries[n]?.modifyIndex ?? -1);
        } else await act(root + each.name, each, sessions, model);
        const [there, thought] = await Promise.all(
          [consul, model].map(({ txn }) => txn.readKeys(keys, { signal })),
        );
        for (const key of keys) {
          const [entry, guess] = [there?.value.get(key), thought?.value.get(key)];
          const show = (one: typeof entry) =>
            one && [one.value.toString(), one.flags, one.session, one.lockIndex];
          expect(show(guess)).toEqual(show(entry));
          if (entry === undefined || guess === undefined) continue;
          same(entry.modifyIndex, guess.modifyIndex);
          same(entry.createIndex, guess.createIndex);
          const before = known.get(key) ?? [];
          if (before.at(-1) !== entry.modifyIndex) known.set(key, [...before, entry.modifyIndex]);
        }
        for (const prefix of [root, `${root}d`, `${root}d/`]) {
          const options = { signal, separator: '/' };
          const [list, guess] = await Promise.all([consul, model].map(({ kv }) => kv.keys(prefix, options)));
          expect(guess?.value).toEqual(list?.value);
          if (list !== undefined && guess !== undefined && list.value.length > 0)
            same(list.index, guess.index);
        }
      }
    }),
    { numRuns: 15 },
  );
});

async function aSession(): Promise<SessionId> {
  const { body } = await http(consulAddress, '/v1/session/create', {
    method: 'PUT',
    body: '{"LockDelay":"0s"}',
  });
  return (JSON.parse(body.toString()) as { ID: SessionId }).ID;
}

type Wanted = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function operationOf(
  root: string,
  wanted: Wanted,
  known: ReadonlyMap<string, readonly ModifyIndex[]>,
  sessions: readonly SessionId[],
): KvOperation {
  const { verb, name, belief, value, flags, session } = wanted;
  const key = root + name;
  const seen = known.get(key) ?? [];
  const index = belief === 'absent' ? NOT_THERE : (seen.at(belief === 'now' ? -1 : -2) ?? NOT_THERE);
  if (verb === 'cas') return { verb, key, value: Buffer.from(value), flags, index };
  if (verb === 'check-session') return { verb, key, session: sessions[session] as SessionId };
  return verb === 'delete-cas' || verb === 'check-index' ? { verb, key, index } : { verb, key };
}

function told(outcome: TxnOutcome): unknown {
  if (outcome.applied)
    return outcome.entries.map(({ key, flags, session, lockIndex }) => [key, flags, session, lockIndex]);
  return outcome.errors.map(({ opIndex, what }) => [
    opIndex,
    what.replace(/modify index \d+ != \d+/, 'modify index'),
  ]);
}

async function act(
  key: string,
  { act, value, session }: { readonly act: string; readonly value: string; readonly session: number },
  sessions: readonly SessionId[],
  { store }: ModelConsul,
): Promise<void> {
  const path = `/v1/kv/${encodeURIComponent(key)}`;
  const put = (query: string) => http(consulAddress, path + query, { method: 'PUT', body: value });
  const held = store.get(key)?.session;
  if (act === 'put') {
    await put('');
    store.put(key, value);
  } else if (act === 'delete') {
    await http(consulAddress, path, { method: 'DELETE' });
    store.delete(key);
  } else if (act === 'acquire') {
    await put(`?acquire=${sessions[session]}`);
    store.acquire(key, sessions[session] as SessionId, value);
  } else if (held !== undefined) {
    await put(`?release=${held}`);
    store.release(key, value);
  }
}
