import * as fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { CLAIMS_KEY } from '../../../src/commit/operations.ts';
import type { ModifyIndex } from '../../../src/consul/types.ts';
import { type ResourceRef, resourceKey } from '../../../src/core/resource.ts';
import { Ledger } from '../../../src/ownership/ledger.ts';
import { listedNames, type OwnerRecord } from '../../../src/ownership/record.ts';
import { aRecord, ref } from './records.ts';

let ledger: Ledger;
let released: { readonly names: string[]; readonly by: string | undefined }[];
beforeEach(() => {
  ledger = new Ledger();
  released = [];
  ledger.onRelease((names, by) => released.push({ names: [...names].sort(), by: by?.name }));
});

const [A, B, C] = [ref('a'), ref('b'), ref('c')];
const put = (...records: readonly OwnerRecord[]) => {
  for (const record of records) ledger.put(record.ref, record);
};
const drop = (gone: ResourceRef) => ledger.put(gone, undefined);
const rival = (name: string, asking = C) => {
  const owner = ledger.rivalFor(name, asking);
  if (owner === undefined) return undefined;
  return owner.kind === 'install' ? `${owner.install}:${owner.ref.name}` : owner.ref.name;
};
const prefixRival = (prefix: string, asking = C) => ledger.rivalForPrefix(prefix, asking)?.ref.name;
const foreign = (...records: readonly OwnerRecord[]) => ledger.replaceForeign('there', records);

describe('a name', () => {
  test('belongs to whose record lists it, written or not, and never to another', () => {
    put(aRecord('a', { x: 'fp', y: '' }));
    expect([rival('x'), rival('y'), rival('z')]).toEqual(['a', 'a', undefined]);
    expect([rival('x', A), rival('y', A)]).toEqual([undefined, undefined]);
  });

  test('stays with whoever came first, and then is whose turn it is', () => {
    put(aRecord('a', ['x']), aRecord('b', ['x']));
    expect([rival('x', A), rival('x', B)]).toEqual([undefined, 'a']);
    drop(A);
    expect([rival('x', B), rival('x', C)]).toEqual([undefined, 'b']);
    drop(B);
    expect(rival('x')).toBeUndefined();
  });

  test('belongs to who has claimed the prefix above it', () => {
    put(aRecord('a', [], { exclusive: 'p/q/' }));
    expect(['p/q/x', 'p/q/r/x', 'p/x', 'p/q', 'p/qq/x'].map(name => rival(name))).toEqual([
      'a',
      'a',
      undefined,
      undefined,
      undefined,
    ]);
    expect(rival('p/q/x', A)).toBeUndefined();
  });

  test('that is listed is not subject to a prefix that is claimed over it', () => {
    put(aRecord('b', ['p/x']), aRecord('a', [], { exclusive: 'p/' }));
    expect(rival('p/x', B)).toBeUndefined();
    expect(rival('p/y', B)).toBe('a');
    expect(rival('p/x', A)).toBe('b');
  });
});

describe('a prefix', () => {
  test.each([
    ['p/', 'a'],
    ['p/q/', 'a'],
    ['p/q/r/', 'a'],
    ['p/qq/', undefined],
    ['pp/', undefined],
    ['q/', undefined],
  ])('%s collides with p/q/: %s', (prefix, who) => {
    put(aRecord('a', [], { exclusive: 'p/q/' }));
    expect(prefixRival(prefix)).toBe(who);
    expect(prefixRival(prefix, A)).toBeUndefined();
  });

  test('that two records claim stays with the first, and then goes to the other', () => {
    put(aRecord('a', [], { exclusive: 'p/' }), aRecord('b', [], { exclusive: 'p/' }));
    expect([prefixRival('p/', A), prefixRival('p/', B)]).toEqual([undefined, 'a']);
    drop(A);
    expect([rival('p/x', B), rival('p/x')]).toEqual([undefined, 'b']);
  });

  test('has names of others below it, whether or not anything stands there', () => {
    put(aRecord('a', { 'p/x': '' }));
    foreign(aRecord('z', ['q/y']));
    const beneath = (prefix: string, asking = C) => ledger.rivalBeneath(prefix, asking);
    expect(beneath('p/')).toEqual({ name: 'p/x', owner: { kind: 'resource', ref: A } });
    expect(beneath('q/')).toEqual({
      name: 'q/y',
      owner: { kind: 'install', install: 'there', ref: ref('z') },
    });
    expect([beneath('p/', A), beneath('pp/'), beneath('p/x/')]).toEqual([undefined, undefined, undefined]);
  });
});

describe('who waits is told what came free', () => {
  test('names and prefixes, and by whom', () => {
    put(aRecord('a', ['x', 'y'], { exclusive: 'p/' }));
    put(aRecord('a', ['y', 'z'], { exclusive: 'q/' }));
    expect(released).toEqual([{ names: ['p/', 'x'], by: 'a' }]);
    drop(A);
    expect(released[1]).toEqual({ names: ['q/', 'y', 'z'], by: 'a' });
  });

  test('nothing when nothing did', () => {
    put(aRecord('a', ['x']), aRecord('a', ['x', 'y'], { phase: 'claiming' }), aRecord('b', ['x']));
    drop(C);
    expect(released).toEqual([]);
    drop(B);
    expect(released).toEqual([]);
  });

  test('also when another install lets go', () => {
    foreign(aRecord('z', ['x', 'y'], { exclusive: 'p/' }));
    foreign(aRecord('z', ['y']));
    expect(released).toEqual([{ names: ['p/', 'x'], by: undefined }]);
    foreign();
    expect(released[1]).toEqual({ names: ['y'], by: undefined });
  });
});

describe('a write under way', () => {
  const claim = (names: readonly string[], exclusive?: string) => ({ names, exclusive });

  test('takes what it claims from everybody else', () => {
    expect(ledger.reserve(A, claim(['x'], 'p/'))).toBe(true);
    expect([rival('x'), rival('p/y'), prefixRival('p/q/')]).toEqual(['a', 'a', 'a']);
    expect(ledger.reserve(B, claim(['x']))).toBe(false);
    expect(ledger.reserve(B, claim(['p/z']))).toBe(false);
    expect(ledger.reserve(B, claim([], 'p/q/'))).toBe(false);
    expect(ledger.record(A)).toBeUndefined();
  });

  test('takes nothing when it cannot take all', () => {
    put(aRecord('a', ['y']));
    expect(ledger.reserve(B, claim(['x', 'y']))).toBe(false);
    expect(ledger.reserve(C, claim(['x']))).toBe(true);
  });

  test('does not take a prefix over names of others', () => {
    put(aRecord('a', ['p/x']));
    expect(ledger.reserve(B, claim([], 'p/'))).toBe(false);
  });

  test('that does not happen gives back what it took, and only that', () => {
    put(aRecord('a', ['x'], { exclusive: 'p/' }));
    expect(ledger.reserve(A, claim(['y'], 'q/'))).toBe(true);
    ledger.giveBack(A);
    expect(released).toEqual([{ names: ['q/', 'y'], by: 'a' }]);
    expect([rival('x'), rival('y'), rival('p/z'), rival('q/z')]).toEqual(['a', undefined, 'a', undefined]);
  });

  test('that happens keeps what the record lists now', () => {
    ledger.reserve(A, claim(['x', 'y'], 'p/'));
    ledger.committed(A, aRecord('a', ['x'], { exclusive: 'p/' }), new Map());
    expect([rival('x'), rival('y'), rival('p/z')]).toEqual(['a', undefined, 'a']);
    expect(released).toEqual([{ names: ['y'], by: 'a' }]);
  });

  test('of which nothing is known keeps it until the record was read again', () => {
    ledger.reserve(A, claim(['x']));
    ledger.mistrust(A);
    expect([ledger.trusts(A), rival('x')]).toEqual([false, 'a']);
    drop(A);
    expect([ledger.trusts(A), rival('x')]).toEqual([true, undefined]);
  });
});

describe('other installs', () => {
  test('own what their records list, and what is below their prefixes', () => {
    foreign(aRecord('z', { x: 'fp', y: '' }, { exclusive: 'p/' }));
    expect([rival('x'), rival('y'), rival('p/q'), prefixRival('p/q/')]).toEqual([
      'there:z',
      'there:z',
      'there:z',
      'z',
    ]);
  });

  test('that only mean to write a name yield to who has written it', () => {
    put(aRecord('a', { x: 'fp', y: '' }));
    foreign(aRecord('z', { x: '', y: 'fp' }));
    expect([rival('x', A), rival('y', A)]).toEqual([undefined, 'there:z']);
    expect([rival('x', B), rival('y', B)]).toEqual(['a', 'a']);
  });

  test('that have written, too, are told', () => {
    put(aRecord('a', ['x']));
    foreign(aRecord('z', ['x']));
    expect(rival('x', A)).toBe('there:z');
  });

  test('are known by name as long as they own something', () => {
    foreign(aRecord('z', ['x']));
    expect(ledger.foreignInstalls()).toEqual(['there']);
    foreign(aRecord('z', []));
    expect(ledger.foreignInstalls()).toEqual([]);
  });
});

describe('reading all own records', () => {
  test('replaces what is there', () => {
    put(aRecord('a', ['x']), aRecord('b', ['y']));
    ledger.replaceOwn([aRecord('b', ['x']), aRecord('c', ['z'])], ledger.beginRead());
    expect([...ledger.records()].map(record => record.ref.name).sort()).toEqual(['b', 'c']);
    expect([rival('x', A), rival('y', A), rival('z', A)]).toEqual(['b', undefined, 'c']);
  });

  test('does not undo what was written since it began, nor what is being written', () => {
    put(aRecord('a', ['old']), aRecord('b', ['old-b']));
    const begunAt = ledger.beginRead();
    ledger.committed(A, aRecord('a', ['new']), new Map());
    ledger.reserve(B, { names: ['being-written'], exclusive: undefined });
    ledger.replaceOwn([aRecord('a', ['old'])], begunAt);
    expect([rival('new'), rival('old'), rival('being-written'), rival('old-b')]).toEqual([
      'a',
      undefined,
      'b',
      'b',
    ]);
  });
});

describe('the view of claims', () => {
  const view = { index: 4 as ModifyIndex, asOf: 9, complete: true };

  test('moves on with an own adoption, and with nothing else', () => {
    ledger.claims = view;
    ledger.committed(A, aRecord('a'), new Map([['x', 12 as ModifyIndex]]));
    expect(ledger.claims).toEqual(view);
    ledger.committed(A, aRecord('a'), new Map([[CLAIMS_KEY, 12 as ModifyIndex]]));
    expect(ledger.claims).toEqual({ ...view, index: 12 });
  });

  test('is old once somebody else has adopted', () => {
    ledger.claims = view;
    ledger.mistrustClaims();
    expect(ledger.claims).toEqual({ ...view, asOf: -1 });
  });
});

test('whatever is put, every listed name has one owner, who lists it, and it is a rival to all others', () => {
  const refs = ['a', 'b', 'c'].map(ref);
  const names = fc.uniqueArray(fc.constantFrom('x', 'y', 'p/x', 'p/q/y'));
  const exclusive = fc.constantFrom(undefined, 'p/', 'p/q/');
  const steps = fc.array(
    fc.record({
      who: fc.constantFrom(...refs),
      names: fc.option(names, { nil: undefined }),
      exclusive,
      how: fc.nat(2),
    }),
    { maxLength: 25 },
  );
  fc.assert(
    fc.property(steps, all => {
      const each = new Ledger();
      for (const { who, names, exclusive, how } of all) {
        const record = names && aRecord(who.name, names, exclusive === undefined ? {} : { exclusive });
        if (how === 0 && names !== undefined) {
          if (each.reserve(who, { names, exclusive })) each.giveBack(who);
        } else each.put(who, record);
        const listers = new Map<string, string[]>();
        for (const present of each.records())
          for (const name of listedNames(present).keys())
            listers.set(name, [...(listers.get(name) ?? []), resourceKey(present.ref)]);
        for (const [name, keys] of listers) {
          const rivals = refs.map(asking => each.rivalFor(name, asking));
          const owners = refs.filter((_, at) => rivals[at] === undefined);
          expect(owners).toHaveLength(1);
          expect(keys).toContain(resourceKey(owners[0] as ResourceRef));
        }
      }
    }),
  );
});
