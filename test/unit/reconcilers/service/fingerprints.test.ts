import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { readInstanceState } from '../../../../src/core/instance-names.ts';
import { Fingerprinter } from '../../../../src/ownership/fingerprint.ts';
import { declaresSameTags, instanceFingerprint } from '../../../../src/reconcilers/service/fingerprints.ts';

const prints = new Fingerprinter(Buffer.alloc(32, 7));
const text = fc.constantFrom('', 'a', 'b', '/tags', 'a/tags', '[]', '["a"]');
const things = fc.record({
  name: fc.constantFrom('/service/n/a', '/service/n/b'),
  content: text,
  tags: fc.array(text, { maxLength: 2 }),
});

test('two are equal for equal names, contents and tags alone', () => {
  fc.assert(
    fc.property(things, things, (one, other) => {
      const isSame = JSON.stringify(one) === JSON.stringify(other);
      expect(instanceFingerprint(prints, one) === instanceFingerprint(prints, other)).toBe(isSame);
    }),
  );
});

test('the tags can be compared without the rest', () => {
  fc.assert(
    fc.property(things, things, (one, { content, tags }) => {
      const other = instanceFingerprint(prints, { name: one.name, content, tags });
      const isSame = JSON.stringify(one.tags) === JSON.stringify(tags);
      expect(declaresSameTags(instanceFingerprint(prints, one), other)).toBe(isSame);
    }),
  );
});

test('is read from a record as that of a written instance', () => {
  fc.assert(
    fc.property(things, one => {
      const fingerprint = instanceFingerprint(prints, one);
      expect(fingerprint).toMatch(/^[\w-]{22}[.][\w-]{22}$/);
      expect(readInstanceState(fingerprint)).toEqual({ kind: 'settled', fingerprint });
    }),
  );
});
