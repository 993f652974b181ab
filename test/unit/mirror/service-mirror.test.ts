import { beforeEach, describe, expect, test } from 'vitest';
import type { NodeReads, NodeServices } from '../../../src/consul/nodes.ts';
import { parseNodeName, parseServiceId } from '../../../src/consul/service-ids.ts';
import type { Answer } from '../../../src/consul/types.ts';
import { AbortedError } from '../../../src/core/errors.ts';
import type { ResourceRef } from '../../../src/core/resource.ts';
import { ServiceMirror } from '../../../src/mirror/service-mirror.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

/** Who is served by which read; what Consul answers is in `test/contract/consul-services.test.ts`. */

const NODE = parseNodeName('vm');
const ID = parseServiceId('web-1');
const refs = ['a', 'b', 'c'].map(name => ({ kind: 'ConsulService', namespace: 'shop', name }));
const [A, B, C] = refs as [ResourceRef, ResourceRef, ResourceRef];
const { signal } = new AbortController();

let reads: ((index: number) => void)[];
let told: string[];
let mirror: ServiceMirror;

const answer = <T>(value: T, index: number): Answer<T> =>
  ({ value, index, filteredByAcl: false, elapsedMs: 0 }) as Answer<T>;

/** The instance at an index of its own: it moves each time. */
function standing(index: number): NodeServices {
  const row = { service: { id: ID }, kind: '', modifyIndex: index };
  return { node: undefined, services: [row] } as unknown as NodeServices;
}

beforeEach(() => {
  reads = [];
  told = [];
  const nodes: Pick<NodeReads, 'services' | 'checks'> = {
    services: () =>
      new Promise(resolve => {
        reads.push(index => resolve(answer(standing(index), index)));
      }),
    checks: async () => answer([], 1),
  };
  mirror = new ServiceMirror({
    consul: { nodes: nodes as NodeReads },
    virtualNodes: [],
    clock: new FakeClock(),
    random: () => 0.5,
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    signal,
    onIndexFell: async () => {},
  });
  mirror.onChange(moved => told.push(...moved.map(({ name }) => name)));
  for (const ref of refs) mirror.track(ref, [{ node: NODE, id: ID }]);
  mirror.open();
});

/** What was read last shows. */
const seen = () => mirror.seen(NODE)?.service(ID)?.modifyIndex;

describe('looks at a node at the same time', () => {
  test('are served by one read, and who waited for it is not told what it found', async () => {
    const first = mirror.current(NODE, { signal, reader: A });
    reads[0]?.(1);
    await first;
    mirror.doubt(NODE);
    const looks = [A, B].map(reader => mirror.current(NODE, { signal, reader }));
    await settled();
    expect(reads).toHaveLength(2);
    reads[1]?.(2);
    await Promise.all(looks);
    expect([seen(), told]).toEqual([2, ['c']]);
  });

  test('that came after a doubt wait for a read that was begun after it', async () => {
    const before = mirror.current(NODE, { signal, reader: A });
    const after = mirror.current(NODE, { fresh: true, signal, reader: B });
    expect(reads).toHaveLength(2);
    reads[0]?.(1);
    await settled();
    expect(seen()).toBeUndefined();
    reads[1]?.(2);
    expect((await after).service(ID)?.modifyIndex).toBe(2);
    expect((await before).service(ID)?.modifyIndex).toBe(2);
    expect(reads).toHaveLength(2);
  });

  test('in a new tenure read it, whatever a standby believed', async () => {
    const first = mirror.current(NODE, { signal, reader: A });
    reads[0]?.(1);
    await first;
    mirror.doubtAll();
    expect(seen()).toBeUndefined();
    const look = mirror.current(NODE, { signal, reader: A });
    reads[1]?.(2);
    expect((await look).service(ID)?.modifyIndex).toBe(2);
  });

  test('end each with its own signal', async () => {
    const ending = new AbortController();
    const given = mirror.current(NODE, { signal: ending.signal, reader: A });
    const kept = mirror.current(NODE, { signal, reader: C });
    ending.abort();
    await expect(given).rejects.toThrow(AbortedError);
    reads[0]?.(1);
    expect((await kept).service(ID)?.modifyIndex).toBe(1);
    expect(reads).toHaveLength(1);
  });
});

test('a service that was read after it was registered is known at once', async () => {
  const first = mirror.current(NODE, { signal, reader: A });
  reads[0]?.(1);
  await first;
  const row = { ...standing(5).services[0], kind: 'connect-proxy' };
  mirror.registered(NODE, row as never);
  expect(mirror.seen(NODE)?.service(ID)).toMatchObject({ kind: 'connect-proxy', modifyIndex: 5 });
  expect(told).toEqual([]);
});
