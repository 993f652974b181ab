import { describe, expect, test } from 'vitest';
import { Store, type StoreHandlers } from '../../../src/kube/store.ts';
import type { KubeObject } from '../../../src/kube/types.ts';

interface Widget extends KubeObject {
  readonly spec?: { readonly uses?: readonly string[] };
}

function widget(
  name: string,
  version: number,
  fields: { uid?: string; namespace?: string; uses?: string[] } = {},
): Widget {
  const { uid = `uid-${name}`, namespace = 'default', uses = [] } = fields;
  return { metadata: { name, namespace, uid, resourceVersion: String(version) }, spec: { uses } };
}

/** A store and, in words, what its handlers were told. */
function storeWithDiary() {
  const diary: string[] = [];
  const version = (object: Widget): string => `${object.metadata.name}@${object.metadata.resourceVersion}`;
  const handlers: StoreHandlers<Widget> = {
    onUpsert: (object, previous, { initial }) =>
      diary.push(
        `${initial ? 'initial ' : ''}${previous === undefined ? 'new' : version(previous)} -> ${version(object)}`,
      ),
    onDelete: (object, { inferred }) =>
      diary.push(`${inferred ? 'inferred ' : ''}${version(object)} deleted`),
    onError: error => diary.push(String(error)),
  };
  const store = new Store<Widget>({ handlers, indexes: { uses: object => object.spec?.uses ?? [] } });
  return { store, diary };
}

function list(
  objects: readonly Widget[],
  version: number,
  fields: { initial?: boolean; rewound?: boolean; namespace?: string } = {},
) {
  const { initial = false, rewound = false, namespace } = fields;
  return { objects, resourceVersion: String(version), initial, rewound, namespace };
}

describe('objects only ever move to a newer version', () => {
  test('a newer version takes the place of an older one', () => {
    const { store, diary } = storeWithDiary();
    expect(store.upsert(widget('a', 5))).toBe(true);
    expect(store.upsert(widget('a', 10))).toBe(true);
    expect(diary).toEqual(['new -> a@5', 'a@5 -> a@10']);
  });

  test('the echo of an own write, and news from before it, change nothing and are not told', () => {
    const { store, diary } = storeWithDiary();
    store.upsert(widget('a', 10));
    expect(store.upsert(widget('a', 10))).toBe(false);
    expect(store.upsert(widget('a', 9))).toBe(false);
    expect(diary).toEqual(['new -> a@10']);
  });

  test('the answer to a write that comes after the deletion does not bring the object back', () => {
    const { store, diary } = storeWithDiary();
    store.upsert(widget('a', 5));
    store.delete(widget('a', 8));
    expect(store.upsert(widget('a', 7))).toBe(false);
    expect(store.size).toBe(0);
    expect(diary).toEqual(['new -> a@5', 'a@8 deleted']);
  });

  test('a deletion known by the answer to an own write, at the version the object had, is final too', () => {
    const { store } = storeWithDiary();
    store.upsert(widget('a', 5));
    expect(store.delete(widget('a', 5))).toBe(true);
    expect(store.upsert(widget('a', 5))).toBe(false);
  });

  test('an object made again after the deletion is taken in', () => {
    const { store } = storeWithDiary();
    store.upsert(widget('a', 5));
    store.delete(widget('a', 8));
    expect(store.upsert(widget('a', 9, { uid: 'second' }))).toBe(true);
    expect(store.get('default', 'a')?.metadata.uid).toBe('second');
  });

  test('late news of a deletion does not take away the object that followed', () => {
    const { store } = storeWithDiary();
    store.upsert(widget('a', 9, { uid: 'second' }));
    expect(store.delete(widget('a', 8))).toBe(false);
    expect(store.size).toBe(1);
  });

  test('another uid under the same name is told as a deletion and a new object', () => {
    const { store, diary } = storeWithDiary();
    store.upsert(widget('a', 5));
    store.upsert(widget('a', 9, { uid: 'second' }));
    expect(diary).toEqual(['new -> a@5', 'inferred a@5 deleted', 'new -> a@9']);
  });
});

describe('a list is swapped in whole', () => {
  test('the first one is told as initial, each object once', () => {
    const { store, diary } = storeWithDiary();
    store.replace(list([widget('a', 5), widget('b', 6)], 7, { initial: true }));
    expect(diary).toEqual(['initial new -> a@5', 'initial new -> b@6']);
  });

  test('only differences are told, and what is missing counts as an inferred deletion', () => {
    const { store, diary } = storeWithDiary();
    store.replace(list([widget('a', 1), widget('b', 2), widget('c', 3)], 4, { initial: true }));
    diary.length = 0;
    store.replace(list([widget('a', 1), widget('b', 7), widget('d', 8)], 9));
    expect(diary).toEqual(['inferred c@3 deleted', 'b@2 -> b@7', 'new -> d@8']);
    expect([...store.values()].map(({ metadata }) => metadata.name).toSorted()).toEqual(['a', 'b', 'd']);
  });

  test('an own write made after the moment of the list survives it', () => {
    const { store, diary } = storeWithDiary();
    store.replace(list([widget('a', 1)], 4, { initial: true }));
    store.upsert(widget('a', 12));
    diary.length = 0;
    store.replace(list([widget('a', 8)], 10));
    expect(store.get('default', 'a')?.metadata.resourceVersion).toBe('12');
    expect(diary).toEqual([]);
  });

  test('a list of one namespace leaves the others alone', () => {
    const { store, diary } = storeWithDiary();
    store.replace(list([widget('a', 1, { namespace: 'x' })], 4, { namespace: 'x' }));
    store.replace(list([widget('a', 2, { namespace: 'y' })], 5, { namespace: 'y' }));
    diary.length = 0;
    store.replace(list([], 6, { namespace: 'x' }));
    expect(diary).toEqual(['inferred a@1 deleted']);
    expect(store.get('y', 'a')).toBeDefined();
  });

  test('when the history went back, the list is believed although its versions are older', () => {
    const { store } = storeWithDiary();
    store.replace(list([widget('a', 100), widget('b', 101)], 120, { initial: true }));
    store.delete(widget('b', 121));
    store.replace(list([widget('a', 11), widget('b', 12)], 15, { rewound: true }));
    expect(store.get('default', 'a')?.metadata.resourceVersion).toBe('11');
    expect(store.get('default', 'b')?.metadata.resourceVersion).toBe('12');
    expect(store.upsert(widget('b', 16))).toBe(true);
  });

  test('what a list shows to be gone is not brought back by the answer to an older write', () => {
    const { store } = storeWithDiary();
    store.replace(list([widget('a', 1)], 4, { initial: true }));
    store.replace(list([], 9));
    expect(store.upsert(widget('a', 8))).toBe(false);
  });
});

describe('indexes', () => {
  test('follow each change', () => {
    const { store } = storeWithDiary();
    const users = (value: string): string[] =>
      store.byIndex('uses', value).map(({ metadata }) => metadata.name);
    store.upsert(widget('a', 1, { uses: ['x', 'y'] }));
    store.upsert(widget('b', 2, { uses: ['x'] }));
    expect(users('x')).toEqual(['a', 'b']);
    store.upsert(widget('a', 3, { uses: ['y'] }));
    expect(users('x')).toEqual(['b']);
    store.delete(widget('b', 4));
    expect(users('x')).toEqual([]);
    store.replace(list([widget('c', 6, { uses: ['x'] })], 7));
    expect(users('x')).toEqual(['c']);
    expect(users('y')).toEqual([]);
  });

  test('an object that an index cannot read is kept, reported, and holds up no other', () => {
    const failures: unknown[] = [];
    const handlers: StoreHandlers<KubeObject> = {
      onUpsert: () => undefined,
      onDelete: () => undefined,
      onError: error => failures.push(error),
    };
    const broken = (object: KubeObject): readonly string[] => {
      if (object.metadata.name === 'a') throw new Error('cannot read');
      return ['value'];
    };
    const store = new Store({ handlers, indexes: { broken } });
    store.replace(list([widget('a', 1), widget('b', 2)], 3));
    expect(store.size).toBe(2);
    expect(store.byIndex('broken', 'value')).toHaveLength(1);
    expect(failures).toHaveLength(1);
  });
});

test('a handler that throws is reported, and the next object is told all the same', () => {
  const told: string[] = [];
  const failures: string[] = [];
  const handlers: StoreHandlers<KubeObject> = {
    onUpsert: ({ metadata }) => {
      if (metadata.name === 'a') throw new Error('defect');
      told.push(metadata.name);
    },
    onDelete: () => undefined,
    onError: (error, { metadata }) => failures.push(`${metadata.name}: ${String(error)}`),
  };
  new Store({ handlers }).replace(list([widget('a', 1), widget('b', 2)], 3));
  expect(told).toEqual(['b']);
  expect(failures).toEqual(['a: Error: defect']);
});

test('objects come in without managedFields and the copy of the manifest, and frozen', () => {
  const store = new Store();
  const annotations = { kept: 'yes', 'kubectl.kubernetes.io/last-applied-configuration': '{"long":"text"}' };
  const { metadata } = widget('a', 1);
  store.upsert({ metadata: { ...metadata, annotations, managedFields: [{}] }, spec: { a: 1 } });
  const stored = store.get('default', 'a');
  expect(stored).toEqual({ metadata: { ...metadata, annotations: { kept: 'yes' } }, spec: { a: 1 } });
  expect(Object.isFrozen(stored)).toBe(true);
  expect(Object.isFrozen(stored?.metadata)).toBe(true);
});
