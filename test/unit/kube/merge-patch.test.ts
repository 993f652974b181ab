import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { isJsonObject, mergePatch } from '../../../src/kube/merge-patch.ts';

/** RFC 7386, section 2. */
function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  const result: Record<string, unknown> = isJsonObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = applyMergePatch(result[name], value);
  }
  return result;
}

const leaf = fc.oneof(fc.boolean(), fc.integer(), fc.string(), fc.array(fc.integer(), { maxLength: 3 }));
const name = fc.constantFrom('a', 'b', 'c');
const { object } = fc.letrec<{ value: unknown; object: Record<string, unknown> }>(tie => ({
  value: fc.oneof({ depthSize: 'small' }, leaf, tie('object')),
  object: fc.dictionary(name, tie('value'), { noNullPrototype: true }),
}));

test('applying the patch of any two objects to the first gives the second', () => {
  fc.assert(
    fc.property(object, object, (before, after) => {
      expect(applyMergePatch(before, mergePatch(before, after) ?? {})).toEqual(after);
    }),
  );
});

test('equal objects need no patch, whatever the order of their fields', () => {
  fc.assert(
    fc.property(object, before => {
      const reordered = Object.fromEntries(Object.entries(before).reverse());
      expect(mergePatch(before, reordered)).toBeUndefined();
    }),
  );
});

test('what vanished is null, arrays go whole, and what stayed is left out', () => {
  const before = { kept: 1, gone: 2, list: [1, 2], nested: { kept: 1, gone: 2 } };
  const after = { kept: 1, list: [1], nested: { kept: 1, added: 3 } };
  expect(mergePatch(before, after)).toEqual({ gone: null, list: [1], nested: { gone: null, added: 3 } });
});

test('null and undefined mean absent on both sides', () => {
  expect(mergePatch({ a: null }, {})).toBeUndefined();
  expect(mergePatch({}, { a: null, b: undefined })).toBeUndefined();
  expect(mergePatch({ a: 1 }, { a: undefined })).toEqual({ a: null });
});
