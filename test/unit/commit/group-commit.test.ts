import { ROOT_CONTEXT } from '@opentelemetry/api';
import { beforeEach, describe, expect, test } from 'vitest';
import { GroupCommit, type TransactionReport } from '../../../src/commit/group-commit.ts';
import {
  CLAIMS_KEY,
  type KeyOperation,
  placeOf,
  type UnitOutcome,
  type WriteOperation,
  type WriteUnit,
} from '../../../src/commit/operations.ts';
import { createSoleTenure } from '../../support/sole-tenure.ts';
import type { Tenure } from '../../../src/commit/tenure.ts';
import { consulError } from '../../../src/consul/errors.ts';
import type { ModifyIndex } from '../../../src/consul/types.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { ModelConsul } from '../../support/model-consul.ts';
import { aTenure, LOCK, SESSION } from './tenures.ts';

let consul: ModelConsul;
let clock: FakeClock;
let commits: GroupCommit;
let reports: TransactionReport[];
/** Turns that have yet to hand something in. */
let others: number;
let tenure: Tenure;
/** Transactions that were held up. */
let underWay: number;

beforeEach(() => {
  underWay = 0;
  consul = new ModelConsul();
  clock = new FakeClock();
  reports = [];
  others = 0;
  tenure = createSoleTenure(consul.store);
  commits = new GroupCommit({
    txn: consul.txn,
    clock,
    othersRunnable: () => others > 0,
    onTransaction: report => reports.push(report),
    context: () => ROOT_CONTEXT,
    inSpan: (_turns, _operations, run) => run(),
  });
});

const index = (number: number) => number as ModifyIndex;
const create = (key: string, value = 'v', at = 0): KeyOperation => ({
  realm: 'data',
  verb: 'cas',
  key,
  value: Buffer.from(value),
  flags: 0n,
  index: index(at),
});
const claim = (at: number): WriteOperation => ({
  ...create(CLAIMS_KEY, `{"after":${at}}`, at),
  realm: 'record',
});
const aUnit = (...operations: readonly WriteOperation[]): WriteUnit => ({
  owner: {
    kind: 'ConsulKV',
    namespace: 'shop',
    name: operations[0] === undefined ? 'none' : placeOf(operations[0]),
  },
  operations,
});
const submit = (...operations: readonly WriteOperation[]) => commits.submit(aUnit(...operations), tenure);
/** The keys of each transaction, its fence apart. */
const sent = () =>
  consul.transactions.map(({ operations }) =>
    operations.filter(({ Verb }) => Verb !== 'check-session').map(({ Key }) => Key),
  );
const kindOf = (outcome: UnitOutcome) => outcome.kind;

/** What became of each: a kind of outcome, or the name of an error's class and its code. */
async function ends(submitted: readonly Promise<UnitOutcome>[]): Promise<string[]> {
  const all = await Promise.allSettled(submitted);
  return all.map(end =>
    end.status === 'fulfilled'
      ? end.value.kind
      : `${(end.reason as Error).name} ${(end.reason as { code: string }).code}`,
  );
}

/** Holds every transaction up until the returned function is called. */
function holdUp(): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  consul.beforeWrite = () => {
    underWay++;
    return promise;
  };
  return resolve;
}

describe('a unit goes', () => {
  test('at once when nobody else could add to it', async () => {
    const { kind, indexes } = (await submit(create('a'))) as Extract<UnitOutcome, { kind: 'applied' }>;
    expect([kind, indexes.get('a')]).toEqual(['applied', consul.store.get('a')?.modifyIndex]);
    expect(clock.timerCount).toBe(0);
  });

  test('together with those of all turns that were running', async () => {
    others = 3;
    const submitted = ['a', 'b', 'c'].map(key => {
      others--;
      return submit(create(key));
    });
    expect(await ends(submitted)).toEqual(['applied', 'applied', 'applied']);
    expect(sent()).toEqual([['a', 'b', 'c']]);
    expect(reports).toEqual([{ result: 'applied', operations: 4, units: 3 }]);
  });

  test('at once when it is urgent, with those that wait, whoever may come', async () => {
    others = 2;
    const waiting = submit(create('a'));
    await settled();
    expect(sent()).toEqual([]);
    const urgent = commits.submit({ ...aUnit(create('b')), isUrgent: true }, tenure);
    expect(await ends([waiting, urgent])).toEqual(['applied', 'applied']);
    expect(sent()).toEqual([['a', 'b']]);
  });

  test('when the last of the others ends without handing anything in', async () => {
    others = 1;
    const submitted = submit(create('a'));
    await settled();
    expect(sent()).toEqual([]);
    others = 0;
    commits.nudge();
    await submitted;
    expect(sent()).toEqual([['a']]);
  });

  test('after 250 ms in which no turn came further, though others still run', async () => {
    others = 1;
    const submitted = submit(create('a'));
    clock.advance(200);
    commits.nudge();
    clock.advance(249);
    await settled();
    expect(sent()).toEqual([]);
    clock.advance(1);
    expect(kindOf(await submitted)).toBe('applied');
  });

  test('250 ms after the last one that joined it', async () => {
    others = 1;
    const first = submit(create('a'));
    clock.advance(200);
    const second = submit(create('b'));
    clock.advance(249);
    await settled();
    expect(sent()).toEqual([]);
    clock.advance(1);
    await Promise.all([first, second]);
    expect(sent()).toEqual([['a', 'b']]);
  });

  test('2 s after it came, however much goes on', async () => {
    others = 1;
    const submitted = [submit(create('a'))];
    for (let ms = 100; ms < 2000; ms += 100) {
      clock.advance(100);
      submitted.push(submit(create(`b${ms}`)));
    }
    await settled();
    expect(sent()).toEqual([]);
    clock.advance(100);
    await Promise.all(submitted);
    expect(sent()).toHaveLength(1);
    expect(clock.timerCount).toBe(0);
  });

  test('2 s after it came, when it was left over by a full transaction', async () => {
    others = 1;
    const pairs = Array.from({ length: 63 }, (_, n) => submit(create(`a${n}`), create(`b${n}`)));
    clock.advance(200);
    const left = submit(create('c'), create('d'), create('e'));
    await Promise.all(pairs);
    for (let ms = 0; ms < 1900; ms += 100) {
      clock.advance(100);
      commits.nudge();
    }
    await settled();
    expect(sent().map(({ length }) => length)).toEqual([126]);
    clock.advance(100);
    await left;
  });

  test('together with what came while the process was kept from running', async () => {
    others = 1;
    const first = submit(create('a'));
    let second: Promise<unknown> | undefined;
    const after = clock.after.bind(clock);
    // A timer that is late comes before what is to be read; one that is set then comes after it.
    clock.after = (ms, callback) =>
      after(ms, () => {
        if (ms === 0) second ??= submit(create('b'));
        callback();
      });
    clock.advance(1000);
    await Promise.all([first, second]);
    expect(sent()).toEqual([['a', 'b']]);
  });

  test('when 128 operations are full, the fence among them: the one too many waits', async () => {
    others = 1;
    const submitted = Array.from({ length: 64 }, (_, n) => submit(create(`a${n}`), create(`b${n}`)));
    await settled();
    expect(consul.transactions.map(({ operations }) => operations.length)).toEqual([127]);
    clock.advance(250);
    expect(new Set(await ends(submitted))).toEqual(new Set(['applied']));
  });

  test('when not one more unit would fit, without waiting for it', async () => {
    others = 1;
    const submitted = Array.from({ length: 63 }, (_, n) => submit(create(`a${n}`), create(`b${n}`)));
    await Promise.all(submitted);
    expect(sent().map(({ length }) => length)).toEqual([126]);
  });

  test('when 500,000 bytes are full', async () => {
    others = 1;
    const large = (key: string) => submit(create(key, 'x'.repeat(150_000)));
    const submitted = ['a', 'b', 'c'].map(large);
    await settled();
    expect(sent()).toEqual([['a', 'b']]);
    clock.advance(250);
    await Promise.all(submitted);
    expect(consul.transactions.every(({ bytes }) => bytes <= 500_000)).toBe(true);
  });

  test('with all that came while a transaction was under way', async () => {
    const letGo = holdUp();
    const submitted = ['a', 'b', 'c', 'd', 'e', 'f'].map(key => submit(create(key)));
    await settled();
    letGo();
    await Promise.all(submitted);
    expect(sent()).toEqual([['a'], ['b', 'c', 'd', 'e', 'f']]);
  });

  test('beside a transaction that takes long, after 250 ms', async () => {
    const letGo = holdUp();
    const submitted = ['a', 'b'].map(key => submit(create(key)));
    await settled();
    expect(underWay).toBe(1);
    clock.advance(250);
    await settled();
    expect(underWay).toBe(2);
    letGo();
    await Promise.all(submitted);
  });

  test('in one of at most four transactions at a time, even when they are full', async () => {
    const letGo = holdUp();
    const submitted = Array.from({ length: 64 * 6 }, (_, n) => submit(create(`a${n}`), create(`b${n}`)));
    clock.advance(3000);
    await settled();
    expect(underWay).toBe(4);
    letGo();
    await Promise.all(submitted);
    expect(sent().map(({ length }) => length)).toEqual([2, 126, 126, 126, 126, 126, 126, 10]);
  });

  test('at once when a newer tenure has begun: nobody joins an older one', async () => {
    others = 1;
    consul.store.acquire(LOCK, SESSION);
    const old = commits.submit(aUnit(create('a')), aTenure(1));
    const young = commits.submit(aUnit(create('b')), aTenure(2));
    await old;
    expect(sent()).toEqual([['a']]);
    clock.advance(250);
    await young;
  });

  test.each([
    { of: '40 keys each', values: Array.from({ length: 40 }, () => 'v') },
    { of: '100 kB each', values: ['x'.repeat(100_000)] },
  ])(
    'at once, one after the other, when a turn commits a large change in parts of $of',
    async ({ values }) => {
      for (let part = 0; part < 20; part++) {
        await submit(...values.map((value, n) => create(`${part}/${n}`, value)));
      }
      expect(sent()).toHaveLength(20);
    },
  );

  test('with the units of its own tenure only', async () => {
    others = 1;
    consul.store.acquire(LOCK, SESSION);
    const tenures = [aTenure(1), aTenure(1), aTenure(2)] as const;
    const submitted = tenures.map((held, n) => commits.submit(aUnit(create(`k${n}`)), held));
    clock.advance(250);
    await Promise.all(submitted);
    expect(sent()).toEqual([['k0'], ['k1'], ['k2']]);
  });
});

describe('a refusal', () => {
  test('takes out the units it names, and the rest goes again', async () => {
    consul.store.put('b', 'theirs');
    others = 3;
    const submitted = [
      submit(create('a'), create('a2')),
      submit(create('x'), create('b')),
      submit(create('c')),
    ];
    others = 0;
    commits.nudge();
    expect(await ends(submitted)).toEqual(['applied', 'refused', 'applied']);
    expect(sent()).toEqual([
      ['a', 'a2', 'x', 'b', 'c'],
      ['a', 'a2', 'c'],
    ]);
    expect(consul.store.get('x')).toBeUndefined();
    const { operations } = (await submitted[1]) as Extract<UnitOutcome, { kind: 'refused' }>;
    expect(operations.map(({ operation, what }) => [placeOf(operation), what])).toEqual([
      ['b', 'failed to set key "b", index is stale'],
    ]);
    expect(reports.map(({ result }) => result)).toEqual(['refused', 'applied']);
  });

  test('is survived four times; then the rest has lost a race', async () => {
    const keys = ['a', 'b', 'c', 'd', 'e'];
    const remaining = [...keys];
    consul.beforeWrite = () => {
      const next = remaining.shift();
      if (next !== undefined) consul.store.put(next, 'theirs');
    };
    others = 1;
    const submitted = keys.map(key => submit(create(key)));
    clock.advance(250);
    expect(await ends(submitted)).toEqual([
      'refused',
      'refused',
      'refused',
      'refused',
      'ConflictError CONSUL_TXN_CONTENDED',
    ]);
    expect(consul.transactions).toHaveLength(4);
  });

  test('for want of a right is told apart, and concerns nobody else', async () => {
    consul.readOnly.add('locked/');
    others = 1;
    const submitted = [submit(create('a')), submit(create('locked/b'), create('c'))];
    clock.advance(250);
    expect(await ends(submitted)).toEqual(['applied', 'denied']);
  });

  test('of two units for one key hits the later one only', async () => {
    others = 1;
    const submitted = [submit(create('k', 'one')), submit(create('k', 'two'), create('other'))];
    clock.advance(250);
    expect(await ends(submitted)).toEqual(['applied', 'refused']);
    expect(consul.texts()).toEqual({ k: 'one' });
  });

  test('that names an operation of nobody ends the whole batch', async () => {
    const errors = [{ opIndex: 9, what: 'leadership lost' }];
    consul.txn.submit = () => Promise.resolve({ applied: false, errors });
    others = 1;
    const submitted = [submit(create('a')), submit(create('b'))];
    clock.advance(250);
    const end = 'RetryableError CONSUL_TXN_REFUSED';
    expect(await ends(submitted)).toEqual([end, end]);
  });
});

describe('the claims key', () => {
  test('stands once in a transaction, whoever carries it', async () => {
    others = 1;
    const submitted = [submit(claim(0), create('a')), submit(claim(0), create('b')), submit(create('c'))];
    clock.advance(250);
    expect(await ends(submitted)).toEqual(['applied', 'applied', 'applied']);
    expect(sent()).toEqual([[CLAIMS_KEY, 'a', 'b', 'c']]);
    const outcomes = (await Promise.all(submitted)) as Extract<UnitOutcome, { kind: 'applied' }>[];
    expect(new Set(outcomes.map(({ indexes }) => indexes.get(CLAIMS_KEY))).size).toBe(1);
  });

  test('is moved by one transaction at a time; who waits with the same belief hears that without being sent', async () => {
    const letGo = holdUp();
    const first = submit(claim(0), create('a'));
    const plain = submit(create('b'));
    const second = submit(claim(0), create('c'));
    const behind = submit(create('d'));
    await settled();
    expect([commits.waiting, underWay]).toEqual([4, 1]);
    letGo();
    expect(await ends([first, plain, second, behind])).toEqual(['applied', 'applied', 'refused', 'applied']);
    expect(sent()).toEqual([
      [CLAIMS_KEY, 'a'],
      ['b', 'd'],
    ]);
  });

  test('keeps nobody waiting who came before the next one to move it', async () => {
    const letGo = holdUp();
    const first = submit(claim(0), create('a'));
    const plain = submit(create('b'));
    const second = submit(claim(0), create('c'));
    clock.advance(250);
    await settled();
    expect(underWay).toBe(2);
    clock.advance(10_000);
    await settled();
    expect(underWay).toBe(2);
    letGo();
    expect(await ends([first, plain, second])).toEqual(['applied', 'applied', 'refused']);
    expect(sent()).toEqual([[CLAIMS_KEY, 'a'], ['b']]);
  });

  test('that was moved by another install refuses all who carry it, and nobody else', async () => {
    consul.store.put(CLAIMS_KEY, 'moved');
    others = 1;
    const submitted = [submit(claim(0), create('a')), submit(create('b')), submit(claim(0), create('c'))];
    clock.advance(250);
    expect(await ends(submitted)).toEqual(['refused', 'applied', 'refused']);
    expect(sent()).toEqual([[CLAIMS_KEY, 'a', 'b', 'c'], ['b']]);
  });

  test('with an older index does not stand in the way of one that is right', async () => {
    consul.store.put(CLAIMS_KEY, 'moved');
    const now = consul.store.get(CLAIMS_KEY)?.modifyIndex ?? 0;
    others = 1;
    const submitted = [submit(claim(0), create('a')), submit(claim(now), create('b'))];
    clock.advance(250);
    expect(await ends(submitted)).toEqual(['refused', 'applied']);
  });
});

describe('a failure', () => {
  const failing = (error: () => Error) => {
    consul.beforeWrite = () => {
      throw error();
    };
  };

  test('of which the outcome is unknown is told to all, as such', async () => {
    failing(() => consulError('CONSUL_TIMEOUT', 'no answer', { outcomeUnknown: true }));
    others = 1;
    const submitted = [submit(create('a')), submit(create('b'))];
    clock.advance(250);
    expect(await ends(submitted)).toEqual(['RetryableError CONSUL_TIMEOUT', 'RetryableError CONSUL_TIMEOUT']);
    await expect(submitted[0]).rejects.toMatchObject({ outcomeUnknown: true });
    expect(reports).toEqual([{ result: 'failed', operations: 3, units: 2 }]);
  });

  test.each(['CONSUL_TOO_LARGE', 'CONSUL_BAD_REQUEST'] as const)(
    '%s of a whole body is put down to the unit to blame',
    async code => {
      consul.beforeWrite = operations => {
        if (operations.some(({ Key }) => Key === 'bad')) throw consulError(code, 'no');
      };
      others = 1;
      const submitted = ['a', 'b', 'bad', 'c', 'd', 'e'].map(key => submit(create(key)));
      clock.advance(250);
      const end = `TerminalError ${code}`;
      expect(await ends(submitted)).toEqual(['applied', 'applied', end, 'applied', 'applied', 'applied']);
    },
  );

  test('of a unit over the limits by itself is its own', async () => {
    others = 1;
    const submitted = [
      submit(create('a')),
      submit(create('large', 'x'.repeat(400_000))),
      submit(...Array.from({ length: 129 }, (_, n) => create(`many${n}`))),
      submit(create('b')),
    ];
    clock.advance(250);
    const end = 'TerminalError CONSUL_TOO_LARGE';
    expect(await ends(submitted)).toEqual(['applied', end, end, 'applied']);
  });

  test('to encode a unit is its own, and nothing waits for it', async () => {
    await expect(submit({ ...create('a'), index: undefined } as never)).rejects.toThrow(TypeError);
    expect(commits.waiting).toBe(0);
    expect(kindOf(await submit(create('b')))).toBe('applied');
  });
});

describe('a tenure', () => {
  test('opens each of its transactions with its fence', async () => {
    consul.store.acquire(LOCK, SESSION);
    await commits.submit(aUnit(create('a')), aTenure());
    expect(consul.transactions[0]?.operations[0]).toMatchObject({
      Verb: 'check-session',
      Key: LOCK,
      Session: SESSION,
    });
  });

  test.each([
    [
      'another session holds the lock',
      () => consul.store.acquire(LOCK, '00000000-0000-0000-0000-000000000002'),
    ],
    ['nobody does', () => consul.store.put(LOCK, 'free')],
    ['the lock is gone', () => {}],
  ])('ends when %s: nothing is written, and everybody is told', async (_, arrange) => {
    arrange();
    const fenced = aTenure();
    const letGo = holdUp();
    const inFlight = commits.submit(aUnit(create('a')), fenced);
    others = 1;
    const waiting = ['b', 'c'].map(key => commits.submit(aUnit(create(key)), fenced));
    letGo();
    expect(await ends([inFlight])).toEqual(['AbortedError ABORTED']);
    expect(fenced.revoked).toHaveLength(1);
    clock.advance(250);
    expect(await ends(waiting)).toEqual(['AbortedError ABORTED', 'AbortedError ABORTED']);
    expect(Object.keys(consul.texts()).filter(key => key !== LOCK)).toEqual([]);
    expect(consul.transactions).toHaveLength(1);
  });

  test('does not end because its token may not read the lock', async () => {
    consul.store.acquire(LOCK, SESSION);
    consul.hidden.add(LOCK);
    const fenced = aTenure();
    const submitted = [
      commits.submit(aUnit(create('a')), fenced),
      commits.submit(aUnit(create('b')), fenced),
    ];
    expect(await ends(submitted)).toEqual(['RetryableError CONSUL_DENIED', 'RetryableError CONSUL_DENIED']);
    await expect(submitted[0]).rejects.toMatchObject({ reason: 'ConsulDenied', outcomeUnknown: false });
    expect(fenced.revoked).toEqual([]);
  });

  test('is asked again right before the request is sent', async () => {
    const fenced = aTenure();
    const lease = { ...fenced, assertHeld: () => fenced.revoke('no margin left') ?? fenced.assertHeld() };
    expect(await ends([commits.submit(aUnit(create('a')), lease)])).toEqual(['AbortedError ABORTED']);
    expect(consul.transactions).toEqual([]);
  });

  test.each(['', 'undefined', undefined])(
    'with the session %j sends nothing, and holds up nobody',
    async session => {
      const empty = { ...aTenure(), fence: { lockKey: LOCK, session: session as never } };
      await expect(commits.submit(aUnit(create('a')), empty)).rejects.toThrow(TypeError);
      expect(consul.transactions).toEqual([]);
      expect(kindOf(await submit(create('b')))).toBe('applied');
    },
  );
});
