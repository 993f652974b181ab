import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CheckRow, ServiceRow } from '../../../src/consul/nodes.ts';
import type { ModifyIndex } from '../../../src/consul/types.ts';
import { NodeMirror } from '../../../src/mirror/node-mirror.ts';
import { aCheck, aService } from '../../support/services.ts';

const row = (id: string, modifyIndex: number): ServiceRow => ({
  service: aService(id),
  kind: '',
  modifyIndex: modifyIndex as ModifyIndex,
});
const answer = (index: number, ...services: readonly ServiceRow[]) => ({
  value: { node: undefined, services },
  index,
  filteredByAcl: false,
  knownLeader: true,
  elapsedMs: 0,
});
const hiding = (index: number, ...services: readonly ServiceRow[]) => ({
  ...answer(index, ...services),
  filteredByAcl: true,
});
const at = (index: number) => index as ModifyIndex;
const indexOf = (mirror: NodeMirror, id: string) => mirror.service(id)?.modifyIndex;

describe('answers', () => {
  test('tell what moved: what came, changed and went', () => {
    const mirror = new NodeMirror();
    expect([...mirror.learnServices(answer(5, row('a', 3), row('b', 5)))].sort()).toEqual(['a', 'b']);
    expect([...mirror.learnServices(answer(5, row('a', 3), row('b', 5)))]).toEqual([]);
    expect([...mirror.learnServices(answer(9, row('a', 8)))].sort()).toEqual(['a', 'b']);
    expect(mirror.service('b')).toBeUndefined();
  });

  test('that are older than another one are dropped', () => {
    const mirror = new NodeMirror();
    mirror.learnServices(answer(9));
    expect([...mirror.learnServices(answer(8, row('a', 8)))]).toEqual([]);
    expect(mirror.service('a')).toBeUndefined();
  });

  test('that an ACL filtered are no sign of a deletion', () => {
    const mirror = new NodeMirror();
    mirror.learnServices(answer(5, row('a', 3)));
    expect([...mirror.learnServices(hiding(9, row('b', 9)))]).toEqual(['b']);
    expect(indexOf(mirror, 'a')).toBe(3);
  });

  test('name an id in whatever case', () => {
    const mirror = new NodeMirror();
    mirror.learnServices(answer(5, { ...row('a', 3), service: { ...aService('a'), id: 'A' as never } }));
    expect(indexOf(mirror, 'a')).toBe(3);
  });
});

describe('an own write', () => {
  test('is not overtaken by an answer of before', () => {
    const mirror = new NodeMirror();
    mirror.learnServices(answer(5, row('a', 3)));
    mirror.wroteService(row('a', 8));
    mirror.wroteService(row('b', 8));
    expect([...mirror.learnServices(answer(7, row('a', 3)))]).toEqual([]);
    expect([indexOf(mirror, 'a'), indexOf(mirror, 'b')]).toEqual([8, 8]);
  });

  test('that is undone by others is seen so', () => {
    const mirror = new NodeMirror();
    mirror.wroteService(row('a', 8));
    expect([...mirror.learnServices(answer(9))]).toEqual(['a']);
    expect(mirror.service('a')).toBeUndefined();
  });

  test('whose undoing was seen before its own answer came is not believed', () => {
    const mirror = new NodeMirror();
    mirror.learnServices(answer(9));
    mirror.wroteService(row('a', 8));
    expect(mirror.service('a')).toBeUndefined();
    mirror.learnServices(answer(12, row('b', 12)));
    mirror.wroteService(row('b', 11));
    expect(indexOf(mirror, 'b')).toBe(12);
  });
});

describe('an own deletion', () => {
  test('is not undone by an answer of before', () => {
    const mirror = new NodeMirror();
    mirror.learnServices(answer(5, row('a', 3)));
    mirror.deletedService('a', at(3));
    expect([...mirror.learnServices(answer(6, row('a', 3), row('b', 6)))]).toEqual(['b']);
    expect(mirror.service('a')).toBeUndefined();
  });

  test('is forgotten once seen, and what others make anew is seen', () => {
    const mirror = new NodeMirror();
    mirror.learnServices(answer(5, row('a', 3)));
    mirror.deletedService('a', at(3));
    mirror.learnServices(answer(7));
    expect([...mirror.learnServices(answer(8, row('a', 8)))]).toEqual(['a']);
  });

  test('takes the checks along', () => {
    const mirror = new NodeMirror();
    const service = aService('a');
    const { id, serviceId } = aCheck(service);
    const check: CheckRow = {
      id,
      serviceId,
      check: aCheck(service),
      status: 'passing',
      output: '',
      modifyIndex: at(4),
    };
    mirror.learnServices(answer(3, row('a', 3)));
    mirror.wroteCheck(check);
    expect(mirror.checksOf('a')).toEqual([check]);
    mirror.deletedService('a', at(3));
    mirror.learnChecks({ ...answer(4), value: [check] });
    expect(mirror.checksOf('a')).toEqual([]);
  });
});

test('a deletion by others takes the checks along, too, and none that is newer', () => {
  const mirror = new NodeMirror();
  const check = (name: string, modifyIndex: number): CheckRow => {
    const { id, serviceId } = aCheck(aService('a'), name);
    const fields = { status: 'passing', output: '', modifyIndex: at(modifyIndex) };
    return { id, serviceId, check: aCheck(aService('a'), name), ...fields };
  };
  const names = () => mirror.checksOf('a').map(row => row.check.name);
  mirror.learnServices(answer(3, row('a', 3)));
  mirror.wroteCheck(check('old', 4));
  mirror.wroteCheck(check('new', 9));
  mirror.learnServices(hiding(5));
  expect(names()).toEqual(['new', 'old']);
  mirror.learnServices(answer(6));
  expect(names()).toEqual(['new']);
  mirror.learnChecks({ ...answer(4), value: [check('old', 4)] });
  expect(names()).not.toContain('old');
});

test('checks are told by instance, in order, as they stand after each of their writes', () => {
  const mirror = new NodeMirror();
  const check = (id: string, name: string, modifyIndex: number): CheckRow => {
    const { id: checkId, serviceId } = aCheck(aService(id), name);
    const fields = { status: 'passing', output: '', modifyIndex: at(modifyIndex) };
    return { id: checkId, serviceId, check: aCheck(aService(id), name), ...fields };
  };
  const names = (id: string) => mirror.checksOf(id).map(row => `${row.check.name}@${row.modifyIndex}`);
  mirror.learnChecks({ ...answer(4), value: [check('a', 'y', 3), check('b', 'z', 4), check('a', 'x', 2)] });
  expect([names('a'), names('b'), names('c')]).toEqual([['x@2', 'y@3'], ['z@4'], []]);
  mirror.wroteCheck(check('a', 'x', 6));
  expect(names('a')).toEqual(['x@6', 'y@3']);
  mirror.deletedCheck(check('a', 'y', 3).id, at(3));
  expect(names('a')).toEqual(['x@6']);
  mirror.deletedService('b', at(1));
  expect(names('b')).toEqual([]);
  mirror.learnChecks({ ...answer(8), value: [check('c', 'q', 8)] });
  expect([names('a'), names('c')]).toEqual([[], ['q@8']]);
});

/** A node of Consul: every write and deletion moves the index. */
class Node {
  readonly rows = new Map<string, ServiceRow>();
  index = 1;

  put(id: string): ServiceRow {
    const written = row(id, ++this.index);
    this.rows.set(id, written);
    return written;
  }

  remove(id: string): ServiceRow | undefined {
    const removed = this.rows.get(id);
    if (removed === undefined) return undefined;
    this.rows.delete(id);
    this.index++;
    return removed;
  }
}

test('in whatever order answers and receipts come, in the end it is what stands there', () => {
  const id = fc.constantFrom('a', 'b');
  const step = fc.record({
    kind: fc.constantFrom('own-put', 'own-remove', 'put', 'remove', 'read'),
    id,
    late: fc.nat(6),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), steps => {
      const node = new Node();
      const mirror = new NodeMirror();
      const arrivals: { readonly at: number; readonly run: () => void }[] = [];
      for (const [now, { kind, id, late }] of steps.entries()) {
        const arrive = (run: () => void) => arrivals.push({ at: now + late, run });
        if (kind === 'put' || kind === 'own-put') {
          const written = node.put(id);
          if (kind === 'own-put') arrive(() => mirror.wroteService(written));
        } else if (kind === 'read') {
          const seen = answer(node.index, ...node.rows.values());
          arrive(() => mirror.learnServices(seen));
        } else {
          const removed = node.remove(id);
          if (kind === 'own-remove' && removed !== undefined)
            arrive(() => mirror.deletedService(id, removed.modifyIndex));
        }
      }
      for (const { run } of arrivals.sort((one, other) => one.at - other.at)) run();
      mirror.learnServices(answer(node.index, ...node.rows.values()));
      for (const name of ['a', 'b']) expect(indexOf(mirror, name)).toBe(node.rows.get(name)?.modifyIndex);
    }),
    { numRuns: 2000 },
  );
});

test('what it believes was never older than what its latest answer showed', () => {
  const mirror = new NodeMirror();
  const node = new Node();
  const before = node.put('a');
  const old = answer(node.index, ...node.rows.values());
  node.remove('a');
  mirror.learnServices(answer(node.index));
  mirror.learnServices(old);
  mirror.wroteService(before);
  expect(mirror.service('a')).toBeUndefined();
});
