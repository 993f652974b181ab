import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Store, storeKey } from '../../../src/kube/store.ts';
import type { KubeObject } from '../../../src/kube/types.ts';

/** What happens at the server, in order; each step is one version. */
interface Step {
  readonly name: string;
  readonly action: 'put' | 'delete';
}

interface News {
  readonly type: 'upsert' | 'delete';
  readonly object: KubeObject;
}

interface History {
  readonly news: readonly News[];
  /** All objects as they were after each version, from version 0. */
  readonly states: readonly ReadonlyMap<string, KubeObject>[];
}

function play(steps: readonly Step[]): History {
  const news: News[] = [];
  const states: ReadonlyMap<string, KubeObject>[] = [new Map()];
  const uids = new Map<string, number>();
  for (const [index, { name, action }] of steps.entries()) {
    const state = new Map(states.at(-1));
    const exists = state.has(name);
    if (!exists) uids.set(name, (uids.get(name) ?? 0) + 1);
    const metadata = {
      name,
      namespace: 'default',
      uid: `${name}-${uids.get(name)}`,
      resourceVersion: String(index + 1),
    };
    if (action === 'put') state.set(name, { metadata });
    else state.delete(name);
    if (action === 'put' || exists)
      news.push({ type: action === 'put' ? 'upsert' : 'delete', object: { metadata } });
    states.push(state);
  }
  return { news, states };
}

const steps = fc.array(
  fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    action: fc.constantFrom('put' as const, 'delete' as const),
  }),
  { minLength: 1, maxLength: 25 },
);

function take(store: Store, { type, object }: News): void {
  if (type === 'upsert') store.upsert(object);
  else store.delete(object);
}

function versions(objects: Iterable<KubeObject>): string[] {
  return [...objects].map(({ metadata }) => `${metadata.uid}@${metadata.resourceVersion}`).toSorted();
}

/** A store whose handlers keep a copy of it, from nothing but what they are told. */
function mirroredStore() {
  const mirror = new Map<string, KubeObject>();
  const keyOf = ({ metadata }: KubeObject): string => storeKey(metadata.namespace, metadata.name);
  const store = new Store({
    handlers: {
      onUpsert(object, previous) {
        expect(mirror.get(keyOf(object))).toEqual(previous);
        mirror.set(keyOf(object), object);
      },
      onDelete(object) {
        expect(mirror.get(keyOf(object))?.metadata.uid).toBe(object.metadata.uid);
        mirror.delete(keyOf(object));
      },
      onError(error) {
        throw error;
      },
    },
  });
  return { store, mirror };
}

test('whatever the order and however often the news come, the store ends at the last state', () => {
  const shuffled = steps.chain(played => {
    const { news, states } = play(played);
    const twice = fc.shuffledSubarray([...news, ...news], { minLength: news.length * 2 });
    return fc.record({ news: twice, final: fc.constant(states.at(-1) ?? new Map<string, KubeObject>()) });
  });
  fc.assert(
    fc.property(shuffled, ({ news, final }) => {
      const { store, mirror } = mirroredStore();
      for (const one of news) take(store, one);
      expect(versions(store.values())).toEqual(versions(final.values()));
      expect(versions(mirror.values())).toEqual(versions(final.values()));
    }),
  );
});

test('lists and answers to own writes may come in between: a watch from the last list leads to the last state', () => {
  const scenario = fc.record({
    played: steps,
    listedAt: fc.nat(),
    early: fc.array(fc.nat(), { maxLength: 5 }),
  });
  fc.assert(
    fc.property(scenario, ({ played, listedAt, early }) => {
      const { news, states } = play(played);
      const at = listedAt % states.length;
      const { store, mirror } = mirroredStore();
      // Heard before the list, some of it from after the list's moment, as answers to own writes are.
      for (const index of early) {
        const one = news[index % Math.max(1, news.length)];
        if (one?.type === 'upsert') take(store, one);
      }
      const objects = [...(states[at]?.values() ?? [])];
      store.replace({
        objects,
        resourceVersion: String(at),
        namespace: undefined,
        initial: false,
        rewound: false,
      });
      for (const one of news) if (Number(one.object.metadata.resourceVersion) > at) take(store, one);
      expect(versions(store.values())).toEqual(versions(states.at(-1)?.values() ?? []));
      expect(versions(mirror.values())).toEqual(versions(store.values()));
    }),
  );
});
