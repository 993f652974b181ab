import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { encodeLockValue, LOCK_FLAGS } from '../../src/core/lock-value.ts';
import { http } from '../../tools/sandbox/http.ts';
import { ConsulApi } from '../support/consul-api.ts';
import { unique } from '../support/world.ts';

const EXAMPLES = fileURLToPath(new URL('../../docs/examples/fencing/', import.meta.url));

const { consulAddress } = inject('sandbox');
const consul = new ConsulApi({ address: consulAddress });
const folder = unique('fencing');
const lockKey = `${folder}/lock`;
const children: ChildProcess[] = [];

beforeEach(() => consul.kvDelete(`${folder}/`, { recurse: true }));
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** Gives the lock to a Pod, as the operator does. */
async function giveLead(uid: string, fencingToken: bigint): Promise<() => Promise<void>> {
  const body = JSON.stringify({ TTL: '60s', LockDelay: '0s' });
  const created = await http(consulAddress, '/v1/session/create', { method: 'PUT', body });
  const { ID } = JSON.parse(created.body.toString()) as { ID: string };
  const value = encodeLockValue({ holder: uid, uid, fencingToken, acquiredTime: '2026-01-01T00:00:00Z' });
  const query = `acquire=${ID}&flags=${LOCK_FLAGS}`;
  const taken = await http(consulAddress, `/v1/kv/${encodeURIComponent(lockKey)}?${query}`, {
    method: 'PUT',
    body: value.toString(),
  });
  expect(taken.body.toString().trim()).toBe('true');
  return async () => {
    await http(consulAddress, `/v1/session/destroy/${ID}`, { method: 'PUT' });
  };
}

function run(script: string, args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [EXAMPLES + script, ...args], {
    env: { PATH: process.env['PATH'], CONSUL_HTTP_ADDR: consulAddress, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  return { child, lines: createInterface({ input: child.stdout }) };
}

const lineOf = async (lines: Interface): Promise<string> => String((await once(lines, 'line'))[0]);

/** A writer that has seen that it leads, and works. */
async function working(uid: string, ...target: readonly string[]) {
  const { child, lines } = run('fenced-writer.mjs', [lockKey, ...target], { POD_UID: uid });
  expect(await lineOf(lines)).toMatch(/^leading with token \d+$/);
  return {
    pause: () => child.kill('SIGSTOP'),
    resume: () => child.kill('SIGCONT'),
    /** Ends the work; resolves with what became of the write. */
    async write(): Promise<readonly [string, number]> {
      child.stdin.write('\n');
      const [said, [code]] = await Promise.all([lineOf(lines), once(child, 'exit')]);
      return [said, code as number];
    },
  };
}

test('a leader writes to Consul', async () => {
  await giveLead('a', 7n);
  const writer = await working('a', 'consul', `${folder}/data`, 'of a');
  expect(await writer.write()).toEqual(['written', 0]);
  expect(await consul.kvTexts(`${folder}/data`)).toEqual({ [`${folder}/data`]: 'of a' });
});

test('one that was paused, and has lost the lead meanwhile, writes nothing to Consul', async () => {
  const takeAway = await giveLead('a', 7n);
  const paused = await working('a', 'consul', `${folder}/data`, 'of a');
  paused.pause();
  await takeAway();
  await giveLead('b', 8n);
  paused.resume();
  const [said, code] = await paused.write();
  expect(said).toMatch(/^refused: failed session check/);
  expect(code).toBe(3);
  const other = await working('b', 'consul', `${folder}/data`, 'of b');
  expect(await other.write()).toEqual(['written', 0]);
  expect(await consul.kvTexts(`${folder}/data`)).toEqual({ [`${folder}/data`]: 'of b' });
});

test('nor to a store that compares tokens', async () => {
  const store = await lineOf(run('guarded-store.mjs', []).lines);
  const takeAway = await giveLead('a', 7n);
  const paused = await working('a', 'store', store, 'of a');
  paused.pause();
  await takeAway();
  await giveLead('b', 18_446_744_073_709_551n);
  const other = await working('b', 'store', store, 'of b');
  expect(await other.write()).toEqual(['written', 0]);
  paused.resume();
  expect(await paused.write()).toEqual(['refused: token 7 is behind 18446744073709551', 3]);
  expect((await http(store, '/')).body.toString()).toBe('of b');
});

test('who does not lead does not begin', async () => {
  await giveLead('a', 7n);
  const { child, lines } = run('fenced-writer.mjs', [lockKey, 'consul', `${folder}/data`, 'x'], {
    POD_UID: 'b',
  });
  const [said, [code]] = await Promise.all([lineOf(lines), once(child, 'exit')]);
  expect([said, code]).toEqual(['somebody else leads', 2]);
});
