import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { Fault, RecordedRequest } from '../support/fault-rules.ts';
import type { Operator } from '../support/operator.ts';
import { isConsulWrite, isKubernetesWrite } from '../support/traffic.ts';
import { unique, World } from '../support/world.ts';

/** Rows 9, 12, 13 and 15, the API server's side of them. */

const TIMES = 3;

const THROTTLED: Fault = {
  kind: 'reply',
  status: 429,
  headers: { 'retry-after': '1' },
  body: status(429, 'TooManyRequests'),
};
const BROKEN: Fault = { kind: 'reply', status: 500, body: status(500, 'InternalError') };

let world: World;
let kvs: ConsulKvs;
let operator: Operator;

/** Of each test's own resource. */
let name: string;

beforeAll(async () => {
  world = await World.create('kube-faults');
  kvs = new ConsulKvs(world);
});

/** A new process for each test: one that met many faults in a row waits longer and longer. */
beforeEach(async () => {
  operator = await world.startOperator();
  name = unique('new');
  await kvs.declareReady('kept', { key: world.key('kept'), value: 'declared' });
});

afterEach(async () => {
  world.toKube.heal();
  await world.stopOperators();
});

afterAll(() => world.close());

describe('watches end with', () => {
  const endings: Readonly<Record<string, Fault>> = {
    'nothing, at once': { kind: 'reply', status: 200, body: '' },
    'a reset': { kind: 'reset' },
    '410 as a status': { kind: 'reply', status: 410, body: status(410, 'Expired') },
    '410 as an event': { kind: 'reply', status: 200, body: watchError(410, 'Expired') },
    '429 with Retry-After': THROTTLED,
    '500': BROKEN,
    '500 as an event': { kind: 'reply', status: 200, body: watchError(500, 'InternalError') },
    '503 of something on the way': { kind: 'reply', status: 503, body: '<html>no backend</html>' },
    'half a line': {
      kind: 'reply',
      status: 200,
      body: '{"type":"MODIFIED","object":{"metadata":{"name":"kept',
    },
  };

  test.for(Object.entries(endings))(
    '%s: nothing is written for it, and the next change arrives',
    async ([, fault]) => {
      const before = counts();
      const rule = world.toKube.when(isWatch, fault, { times: TIMES });
      world.toKube.cut(isWatch);
      await eventually(() => rule.hits.length === TIMES, { what: 'watches meet the fault' });

      await declareReady(name);
      await kvs.changeReady('kept', { value: name });

      expect(await world.stored()).toMatchObject({ kept: name, [name]: 'declared' });
      expect(
        since(before).consul.filter(isConsulWrite),
        'a transaction for each of the two changes',
      ).toHaveLength(2);
      expect(since(before).kube.filter(isWatchOrList).length, 'watches and lists').toBeLessThan(20);
    },
  );
});

describe('writes are answered with', () => {
  const answers: Readonly<Record<string, Fault>> = {
    '409': { kind: 'reply', status: 409, body: status(409, 'Conflict') },
    '429 with Retry-After': THROTTLED,
    '500': BROKEN,
    'a reset after they were done': { kind: 'dropReply' },
  };

  test.for(Object.entries(answers))(
    '%s: the key is written once, and the resource becomes Ready and goes',
    async ([, fault]) => {
      world.toKube.when(isKubernetesWrite, fault, { times: TIMES });
      const before = await world.stored();
      await declareReady(name);
      const { createIndex, modifyIndex } = (await world.consul.kvGet(world.key(name))) ?? {};
      expect(modifyIndex, 'written once').toBe(createIndex);

      world.toKube.when(isKubernetesWrite, fault, { times: TIMES });
      await kvs.remove(name);
      expect(await world.stored()).toEqual(before);
    },
  );
});

describe('the resources cannot be listed: nothing is removed from Consul', () => {
  const lists: Readonly<Record<string, Fault>> = {
    'the right to was taken away': { kind: 'reply', status: 403, body: status(403, 'Forbidden') },
    'their kind is gone': { kind: 'reply', status: 404, body: status(404, 'NotFound') },
    'the answer breaks off': {
      kind: 'reply',
      status: 200,
      body: '{"kind":"ConsulKVList","metadata":{},"items":[',
    },
    'the answer is empty': { kind: 'reply', status: 200, body: '' },
    'the answer is no list': { kind: 'reply', status: 200, body: '{"kind":"ConsulKVList","items":null}' },
  };

  test.for(Object.entries(lists))('%s, operator running', async ([, fault]) => {
    const [before, stored] = [counts(), await world.stored()];
    const rule = world.toKube.when(isOurKind, fault);
    world.toKube.cut(isWatch);
    await eventually(() => rule.hits.length >= TIMES, { what: 'lists and watches meet the fault' });

    await nothingIsRemoved(before, stored);
  });

  test.for(Object.entries(lists))('%s, at the start', async ([, fault]) => {
    await world.stopOperators();
    const [before, stored] = [counts(), await world.stored()];
    const rule = world.toKube.when(isOurKind, fault);
    operator = await world.spawnOperator();
    await eventually(() => rule.hits.length >= TIMES, { what: 'lists and watches meet the fault' });
    expect((await operator.probe('/readyz')).status).toBe(503);

    await nothingIsRemoved(before, stored);
  });

  async function nothingIsRemoved(before: Counts, stored: Record<string, string>): Promise<void> {
    expect(await world.stored()).toEqual(stored);
    expect(since(before).consul.filter(isConsulWrite)).toEqual([]);
    world.toKube.heal();
    await declareReady(name);
    expect(await world.stored()).toEqual({ ...stored, [name]: 'declared' });
    await operator.ready();
  }
});

function declareReady(resource: string): Promise<unknown> {
  return kvs.declareReady(resource, { key: world.key(resource), value: 'declared' });
}

interface Counts {
  readonly consul: number;
  readonly kube: number;
}

function counts(): Counts {
  return { consul: world.toConsul.requests.length, kube: world.toKube.requests.length };
}

function since({ consul, kube }: Counts) {
  return { consul: world.toConsul.requests.slice(consul), kube: world.toKube.requests.slice(kube) };
}

function isWatch({ query }: RecordedRequest): boolean {
  return query.get('watch') === 'true';
}

function isWatchOrList({ method, path }: RecordedRequest): boolean {
  return method === 'GET' && /\/(consulkvs|configmaps|secrets)$/.test(path);
}

function isOurKind(request: RecordedRequest): boolean {
  return isWatchOrList(request) && request.path.endsWith('/consulkvs');
}

function status(code: number, reason: string): string {
  return JSON.stringify({
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    code,
    reason,
    message: `a test says ${code}`,
  });
}

function watchError(code: number, reason: string): string {
  return `${JSON.stringify({ type: 'ERROR', object: JSON.parse(status(code, reason)) })}\n`;
}
