import { describe, expect, test } from 'vitest';
import type { WriteOperation } from '../../../../src/commit/operations.ts';
import { fitsAlone, unitSize } from '../../../../src/commit/unit-size.ts';
import type { ModifyIndex } from '../../../../src/consul/types.ts';
import { markOut } from '../../../../src/core/instance-names.ts';
import { type Head, listedNames, type OwnerRecord } from '../../../../src/ownership/record.ts';
import type { InstanceChange, ServiceChange } from '../../../../src/reconcilers/service/types.ts';
import { cutCommit, type ServiceCut } from '../../../../src/reconcilers/service/units.ts';
import {
  anInstance,
  aRecord,
  CRITICAL,
  INSTALL,
  planOf,
  REF,
  SETTLED,
  standing,
  told,
} from './plan-builders.ts';

type Commit = Extract<ServiceChange, { step: 'commit' }>;

const many = (count: number) =>
  Array.from({ length: count }, (_, at) => anInstance({ id: `p${at}`, ready: true, probe: true }));

function commitOf(situation: Parameters<typeof planOf>[0]): Commit {
  const plan = planOf(situation);
  if (plan.kind !== 'change' || plan.change.step !== 'commit') throw new Error(told(plan));
  return plan.change;
}

const cut = (change: Commit, record?: OwnerRecord): ServiceCut =>
  cutCommit(change, { installId: INSTALL, ref: REF, record, claimsIndex: 3 as ModifyIndex });

/** Transaction by transaction, each from what the last one left; what is done is not planned again. */
function allCuts(change: Commit, record?: OwnerRecord): { cuts: ServiceCut[]; records: OwnerRecord[] } {
  const cuts: ServiceCut[] = [];
  const records: OwnerRecord[] = [];
  let rest: readonly InstanceChange[] = change.instances;
  let present = record;
  for (let index = 20; ; index++) {
    const next = cut({ ...change, instances: rest }, present);
    cuts.push(next);
    present = next.after(() => index as ModifyIndex);
    if (present !== undefined) records.push(present);
    rest = rest.slice(next.done.length);
    if (rest.length === 0) return { cuts, records };
  }
}

const verbs = ({ operations }: ServiceCut): string[] => operations.map(toVerb);

function toVerb(operation: WriteOperation): string {
  return operation.realm === 'catalog' ? operation.verb : `${operation.realm} ${operation.verb}`;
}

describe('a commit that fits', () => {
  test('is one transaction: the record, then the instances', () => {
    const whole = cut(commitOf({ wish: many(2), nodes: { vm: undefined } }));
    const instance = ['service-cas', 'check-cas', 'check-cas'];
    expect(verbs(whole)).toEqual(['record cas', 'node-create', ...instance, ...instance]);
    expect(whole.after(() => 9 as ModifyIndex)?.head).toEqual({ ...SETTLED, generation: 2 });
    expect(whole.claim.names).toHaveLength(2);
    expect(whole.done).toHaveLength(2);
  });

  test('of health alone only relies on the record', () => {
    const [one] = many(1);
    if (one === undefined) throw new Error('none');
    const record = { [one.name]: one.fingerprint };
    const stands = { [one.name]: standing(one) };
    const change = commitOf({ wish: [one], record, stands, verdicts: { 'service:p0:http': CRITICAL } });
    const part = cut(change, aRecord(record));
    expect(verbs(part)).toEqual(['record check-index', 'check-cas']);
    expect(part.after(() => 9 as ModifyIndex)).toEqual(aRecord(record));
  });

  test('that takes something over moves the claims key', () => {
    const [one] = many(1);
    if (one === undefined) throw new Error('none');
    expect(verbs(cut(commitOf({ wish: [one], stands: { [one.name]: standing(one) } })))).toContain(
      'record cas',
    );
    const { operations } = cut(commitOf({ wish: [one], stands: { [one.name]: standing(one) } }));
    expect(operations[0]).toMatchObject({ realm: 'record', key: 'proconsul/.claims', index: 3 });
  });

  test('without instances moves the head alone', () => {
    const change: Commit = {
      step: 'commit',
      instances: [],
      head: { ...SETTLED, onDelete: 'Retain' },
      adopts: false,
    };
    const part = cut(change, aRecord({}));
    expect(verbs(part)).toEqual(['record cas']);
    expect(part.after(() => 9 as ModifyIndex)?.head.onDelete).toBe('Retain');
  });

  test('marks what is taken out', () => {
    const watched = anInstance({ id: 'a', probe: { deregisterAfterMs: 60_000 } });
    const record = { [watched.name]: watched.fingerprint };
    const change = commitOf({
      wish: [watched],
      record,
      stands: { [watched.name]: standing(watched) },
      criticalForMs: { 'service:a:http': 60_000 },
    });
    const after = cut(change, aRecord(record)).after(() => 9 as ModifyIndex);
    expect(after && [...listedNames(after)]).toEqual([[watched.name, markOut(watched.fingerprint)]]);
  });
});

describe('a commit that does not fit', () => {
  test('goes in parts that each fit, claiming until the last, each name with its instance', () => {
    const { cuts, records } = allCuts(commitOf({ wish: many(100), nodes: { vm: undefined } }));
    expect(cuts.length).toBe(3);
    for (const part of cuts) {
      expect(fitsAlone(unitSize(part.operations))).toBe(true);
      const written = part.operations.filter(({ verb }) => verb === 'service-cas').length;
      expect([part.done.length, part.claim.names.length]).toEqual([written, written]);
    }
    expect(cuts.map(part => verbs(part).filter(verb => verb === 'node-create').length)).toEqual([1, 0, 0]);
    expect(records.map(({ head }) => head.phase)).toEqual(['claiming', 'claiming', 'settled']);
    expect(records.map(record => listedNames(record).size)).toEqual(
      cuts.map((_, at) => cuts.slice(0, at + 1).flatMap(({ done }) => done).length),
    );
  });

  test('carries as many as fit: about 40', () => {
    const [first] = allCuts(commitOf({ wish: many(100) })).cuts;
    expect(first?.done.length).toBe(41);
  });

  test('is cut by bytes as well', () => {
    const large = Array.from({ length: 5 }, (_, at) =>
      anInstance({ id: `p${at}`, tags: ['x'.repeat(150_000)] }),
    );
    const { cuts } = allCuts(commitOf({ wish: large }));
    expect(cuts.map(({ done }) => done.length)).toEqual([3, 2]);
    for (const part of cuts) expect(fitsAlone(unitSize(part.operations))).toBe(true);
  });

  test('of health alone leaves the head as it is', () => {
    const wish = many(200);
    const record = Object.fromEntries(wish.map(one => [one.name, one.fingerprint]));
    const stands = Object.fromEntries(wish.map(one => [one.name, standing(one)]));
    const verdicts = Object.fromEntries(wish.map(({ service }) => [`service:${service.id}:http`, CRITICAL]));
    const { cuts, records } = allCuts(commitOf({ wish, record, stands, verdicts }), aRecord(record));
    expect(cuts.map(({ done }) => done.length)).toEqual([126, 74]);
    for (const part of cuts) expect(verbs(part)[0]).toBe('record check-index');
    for (const { head } of records) expect(head).toEqual(SETTLED);
  });

  test('towards nothing keeps a record until the last', () => {
    const names = Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`/service/vm/p${at}`, 'f.t']));
    const instances = Object.keys(names).map(name => ({
      name,
      cause: 'remove' as const,
      record: { to: undefined },
      operations: [{ realm: 'catalog', verb: 'service-get', node: 'vm', id: 'p', name: 'web' } as never],
    }));
    const head: Head | undefined = undefined;
    const { cuts, records } = allCuts({ step: 'commit', instances, head, adopts: false }, aRecord(names));
    expect(cuts.length).toBe(2);
    expect(records.map(record => [record.head.phase, listedNames(record).size])).toEqual([['claiming', 74]]);
  });
});
