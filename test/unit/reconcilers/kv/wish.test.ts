import { beforeEach, expect, test } from 'vitest';
import { parseConsulKV } from '../../../../src/api/v1alpha1/consulkv.ts';
import type { ResourceRef } from '../../../../src/core/resource.ts';
import { Fingerprinter } from '../../../../src/ownership/fingerprint.ts';
import { SourceReader } from '../../../../src/reconcilers/kv/sources.ts';
import { WishReader } from '../../../../src/reconcilers/kv/wish.ts';
import { ModelCluster } from '../../../support/kv-process.ts';
import { signal } from '../../../support/consul-client.ts';

let cluster: ModelCluster;
let fingerprinter: Fingerprinter;
let reader: WishReader;
let ref: ResourceRef;
beforeEach(() => {
  cluster = new ModelCluster();
  fingerprinter = new Fingerprinter(Buffer.alloc(32, 1));
  reader = new WishReader(new SourceReader(cluster), fingerprinter);
  cluster.configMap('source', { a: '1' });
  ref = cluster.apply('one', { prefix: 't/', dataFrom: [{ configMapRef: { name: 'source' } }] });
});

/** The resource as one turn parses it. */
function aTurn() {
  const parsed = parseConsulKV(cluster.get(ref));
  if (!parsed.ok) throw new Error(parsed.problem);
  return { ref, resource: parsed.value, deleting: false, onDelete: undefined };
}

test('a turn computes its wish once, as long as nothing it is made of changes', async () => {
  const turn = aTurn();
  const wish = await reader.read(turn, signal);
  expect([...wish.wishes.keys()]).toEqual(['t/a']);
  expect(await reader.read(turn, signal)).toBe(wish);
});

test.each<[what: string, change: () => void]>([
  ['a source has changed', () => cluster.configMap('source', { a: '2' })],
  ['a source is gone', () => cluster.configMap('source', undefined)],
  ['the key of the fingerprints is another', () => fingerprinter.use(Buffer.alloc(32, 2))],
])('and anew when %s', async (_, change) => {
  const turn = aTurn();
  const wish = await reader.read(turn, signal);
  change();
  const next = await reader.read(turn, signal);
  expect(next.wishes.get('t/a')).not.toBe(wish.wishes.get('t/a'));
});

test('nothing is wished for what is being deleted', async () => {
  expect(await reader.read({ ...aTurn(), deleting: true }, signal)).toEqual({
    desire: undefined,
    wishes: new Map(),
  });
});
