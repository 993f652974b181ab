import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  folderOf,
  FolderTree,
  keysBeneath,
  MAX_WATCHED_PREFIXES,
  WatchedPrefixes,
} from '../../../src/mirror/folders.ts';

const key = fc
  .array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'ab'), { minLength: 1, maxLength: 4 })
  .map(segments => segments.join('/'));
const keys = fc.uniqueArray(key, { maxLength: 30 });

describe('watched prefixes', () => {
  const chosen = (...of: readonly string[]) => [...WatchedPrefixes.choose(of).prefixes].sort();

  test.each<[keys: string[], prefixes: string[]]>([
    [[], []],
    [['a'], []],
    [['a/b'], ['a/']],
    [['a/b/c'], ['a/b/']],
    [['a/b/c', 'a/b/d'], ['a/b/']],
    [['a/b/c', 'a/d/e'], ['a/']],
    [
      ['a/b/c', 'ab/d'],
      ['a/b/', 'ab/'],
    ],
    [['a/b/c', 'a/x'], ['a/']],
    [
      ['1/x', '2/x', '3/x', '4/x', '5/x'],
      ['1/', '2/', '3/'],
    ],
    [
      ['1/x', '2/x', '3/x', '4/x', '5/x', '5/y'],
      ['1/', '2/', '5/'],
    ],
  ])('for %j are %j', (of, prefixes) => expect(chosen(...of)).toEqual(prefixes));

  test('cover exactly what is below them', () => {
    const watched = WatchedPrefixes.choose(['a/b/c']);
    expect(['a/b/c', 'a/b/x/y', 'a/b/'].every(each => watched.covers(each))).toBe(true);
    expect(['a/b', 'a/c', 'a/bb/c', 'b', 'a'].some(each => watched.covers(each))).toBe(false);
  });

  test('tell whether they changed', () => {
    const watched = new WatchedPrefixes();
    expect([['a/b/c'], ['a/b/d'], ['a/x/y'], ['a'], []].map(of => watched.include(of))).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
    expect(watched.prefixes).toEqual(['a/']);
  });

  test('are few, never empty, never one in another, and only ever widen', () => {
    fc.assert(
      fc.property(keys, fc.array(keys, { maxLength: 5 }), (first, later) => {
        const watched = WatchedPrefixes.choose(first);
        for (const more of later) {
          const before = watched.prefixes;
          const changed = watched.include(more);
          const after = watched.prefixes;
          expect(changed).toBe(JSON.stringify(before) !== JSON.stringify(after));
          for (const old of before) expect(after.some(prefix => old.startsWith(prefix))).toBe(true);
          expect(after.length).toBeLessThanOrEqual(MAX_WATCHED_PREFIXES);
          for (const prefix of after) {
            expect(prefix).toMatch(/^.+\/$/);
            expect(after.filter(other => other.startsWith(prefix))).toEqual([prefix]);
          }
          const isFull = after.length === MAX_WATCHED_PREFIXES;
          for (const each of more.filter(each => each.includes('/'))) {
            expect(isFull || watched.covers(each)).toBe(true);
          }
        }
      }),
    );
  });

  test('do not depend on the order in which keys are met at the start', () => {
    fc.assert(
      fc.property(keys, of => {
        expect(chosen(...of)).toEqual(chosen(...of.toReversed()));
      }),
    );
  });
});

test('the folder of a key', () => {
  expect(['a/b/c', 'a/b/', 'a', ''].map(folderOf)).toEqual(['a/b/', 'a/b/', '', '']);
});

describe('the tree of folders', () => {
  const treeOf = (...of: readonly string[]) => {
    const tree = new FolderTree();
    for (const each of of) tree.add(each);
    return tree;
  };
  const beneath = (tree: FolderTree, path: string) => {
    const folder = tree.find(path);
    return folder === undefined ? undefined : keysBeneath(folder).sort();
  };

  test('finds what is beneath a folder', () => {
    const tree = treeOf('x', 'a/x', 'a/b/x', 'a/b/y', 'ab/x');
    expect([beneath(tree, ''), beneath(tree, 'a/'), beneath(tree, 'a/b/'), beneath(tree, 'c/')]).toEqual([
      ['a/b/x', 'a/b/y', 'a/x', 'ab/x', 'x'],
      ['a/b/x', 'a/b/y', 'a/x'],
      ['a/b/x', 'a/b/y'],
      undefined,
    ]);
    expect(tree.find('a/')).toMatchObject({ path: 'a/', count: 3, index: 0 });
  });

  test('forgets every index at once', () => {
    const tree = treeOf('a/b/x', 'c/x');
    for (const path of ['', 'a/', 'a/b/', 'c/']) {
      const folder = tree.find(path);
      if (folder !== undefined) folder.index = 7;
    }
    tree.forgetIndexes();
    expect(['', 'a/', 'a/b/', 'c/'].map(path => tree.find(path)?.index)).toEqual([0, 0, 0, 0]);
  });

  test('holds what was added and not removed, counts it, and keeps no empty folder', () => {
    const steps = fc.array(fc.record({ add: fc.boolean(), key }), { maxLength: 60 });
    fc.assert(
      fc.property(steps, all => {
        const tree = new FolderTree();
        const model = new Set<string>();
        for (const step of all) {
          if (step.add && !model.has(step.key)) tree.add(step.key);
          if (!step.add && model.has(step.key)) tree.remove(step.key);
          if (step.add) model.add(step.key);
          else model.delete(step.key);
        }
        const paths = new Set(['', 'a/', 'a/b/', ...[...model].map(folderOf)]);
        for (const path of paths) {
          const expected = [...model].filter(each => each.startsWith(path)).sort();
          if (path !== '' && expected.length === 0) expect(tree.find(path)).toBeUndefined();
          else expect([beneath(tree, path), tree.find(path)?.count]).toEqual([expected, expected.length]);
        }
      }),
    );
  });
});
