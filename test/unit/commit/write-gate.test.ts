import { ROOT_CONTEXT } from '@opentelemetry/api';
import { beforeEach, describe, expect, test } from 'vitest';
import { GroupCommit } from '../../../src/commit/group-commit.ts';
import {
  CLAIMS_KEY,
  type KeyOperation,
  placeOf,
  type WriteOperation,
  type WriteUnit,
} from '../../../src/commit/operations.ts';
import { createSoleTenure } from '../../support/sole-tenure.ts';
import type { Tenure } from '../../../src/commit/tenure.ts';
import { type Tenancy, WriteGate } from '../../../src/commit/write-gate.ts';
import { NOT_THERE } from '../../../src/consul/types.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { ModelConsul } from '../../support/model-consul.ts';
import { BAD_KEYS, GOOD_KEYS, UNPRINTED_KEYS } from '../api/consulkv-keys.ts';
import { aTenure } from './tenures.ts';

let consul: ModelConsul;
beforeEach(() => {
  consul = new ModelConsul();
});

interface GateOptions {
  readonly dryRun?: boolean;
  readonly tenure?: Tenure | undefined;
  readonly tenancy?: Tenancy;
}

function aGate(options: GateOptions = {}): WriteGate {
  const { dryRun = false, tenancy } = options;
  const tenure = 'tenure' in options ? options.tenure : createSoleTenure(consul.store);
  const commits = new GroupCommit({
    txn: consul.txn,
    clock: new FakeClock(),
    othersRunnable: () => false,
    context: () => ROOT_CONTEXT,
    inSpan: (_turns, _operations, run) => run(),
  });
  const gated = { installId: 'install-a', dryRun, commits, tenure: () => tenure };
  return new WriteGate(tenancy === undefined ? gated : { ...gated, tenancy });
}

const write = (key: string, realm: KeyOperation['realm'] = 'data'): KeyOperation => ({
  realm,
  verb: 'cas',
  key,
  value: Buffer.from('a value that nobody should see'),
  flags: 0n,
  index: NOT_THERE,
});
const remove = (key: string): WriteOperation => ({
  realm: 'data',
  verb: 'delete-cas',
  key,
  index: NOT_THERE,
});
const unit = (...operations: readonly WriteOperation[]): WriteUnit => ({
  owner: { kind: 'ConsulKV', namespace: 'shop', name: 'orders' },
  operations,
});

const nothingSent = () => expect(consul.transactions).toEqual([]);

describe('keys of users', () => {
  test.each(GOOD_KEYS)('%j is let through', async key => {
    expect((await aGate().commit(unit(write(key)))).kind).toBe('applied');
    expect(Object.keys(consul.texts())).toEqual([key]);
  });

  test.each([...BAD_KEYS, ...UNPRINTED_KEYS])(
    '%j is not, in whatever place of a unit it stands',
    async key => {
      const check: WriteOperation = { realm: 'data', verb: 'check-index', key, index: NOT_THERE };
      for (const bad of [write(key), remove(key), check]) {
        await expect(aGate().commit(unit(write('good'), bad))).rejects.toMatchObject({
          name: 'TerminalError',
          code: 'KEY_INVALID',
          reason: 'InvalidSpec',
        });
      }
      nothingSent();
    },
  );

  test('are told with who wanted to write them and why not', async () => {
    await expect(aGate().commit(unit(write('a//b')))).rejects.toThrow(
      'ConsulKV shop/orders: key "a//b" has an empty segment',
    );
  });

  test.each([CLAIMS_KEY, 'proconsul/install-a/owners/ConsulKV/shop/x', 'proconsul-private/install-a'])(
    '%s is none, even for this install itself',
    async key => {
      await expect(aGate().commit(unit(write(key)))).rejects.toMatchObject({ code: 'KEY_INVALID' });
      nothingSent();
    },
  );
});

describe('the lock of a lease that declares no key', () => {
  const lease = { kind: 'ConsulLeaderLease', namespace: 'shop', name: 'orders' };
  const own = 'proconsul/install-a/leases/shop/orders';

  test.each([own, `${own}/0`, `${own}/31`])('%s may be written by that lease', async key => {
    expect((await aGate().commit({ owner: lease, operations: [write(key)] })).kind).toBe('applied');
    await expect(aGate().commit(unit(write(key)))).rejects.toMatchObject({ code: 'KEY_INVALID' });
  });

  test.each([
    `${own}/32`,
    `${own}/x`,
    `${own}-2`,
    'proconsul/install-a/leases/shop/other',
    'proconsul/install-a/leases/other/orders',
    'proconsul/install-b/leases/shop/orders',
    'proconsul/install-a/leader',
  ])('%s may not', async key => {
    await expect(aGate().commit({ owner: lease, operations: [write(key)] })).rejects.toMatchObject({
      code: 'KEY_INVALID',
    });
    nothingSent();
  });
});

describe('records', () => {
  test.each([CLAIMS_KEY, 'proconsul/install-a/owners/ConsulKV/shop/orders', 'proconsul-private/install-a'])(
    '%s may be written',
    async key => {
      expect((await aGate().commit(unit(write(key, 'record')))).kind).toBe('applied');
    },
  );

  test.each([
    'proconsul/install-b/owners/ConsulKV/shop/orders',
    'proconsul/install-abc/owners/x',
    'proconsul/install-a',
    'proconsul/',
    'proconsul-private/install-b',
    'proconsul-private/install-a/x',
    'config/orders',
    'proconsul/.claims/x',
    'proconsul/install-a/../install-b/owners',
    'proconsul/install-a//owners',
    'proconsul/install-a/owners%2f',
    '',
  ])('%s may not', async key => {
    await expect(aGate().commit(unit(write('good'), write(key, 'record')))).rejects.toMatchObject({
      name: 'TerminalError',
      code: 'KEY_NOT_OURS',
    });
    nothingSent();
  });
});

describe('a dry run', () => {
  test('sends nothing, and says what it would do by names, never by values', async () => {
    const gate = aGate({ dryRun: true });
    const many = Array.from({ length: 12 }, (_, n) => remove(`gone-${n}`));
    const wanted = unit(write('proconsul/install-a/owners/x', 'record'), write('a'), write('b'), ...many);
    const refused = await gate.commit(wanted).catch((error: unknown) => error as Error & { reason: string });
    expect(refused).toMatchObject({ name: 'TerminalError', code: 'DRY_RUN', reason: 'DryRun' });
    expect('message' in refused && refused.message).toBe(
      `dry run: would write a, b; delete ${many.slice(0, 10).map(placeOf).join(', ')}, …`,
    );
    nothingSent();
  });

  test('checks keys as always, and needs no lead', async () => {
    const gate = aGate({ dryRun: true, tenure: undefined });
    await expect(gate.commit(unit(write('a//b')))).rejects.toMatchObject({ code: 'KEY_INVALID' });
    await expect(gate.commit(unit(write('proconsul/.claims', 'record')))).rejects.toThrow(
      'dry run: would update the owner record',
    );
  });
});

describe('who does not lead', () => {
  test('sends nothing and has no epoch', async () => {
    const gate = aGate({ tenure: undefined });
    await expect(gate.commit(unit(write('a')))).rejects.toMatchObject({ name: 'AbortedError' });
    expect(() => gate.epoch).toThrow('this replica does not lead');
    nothingSent();
  });

  test('any more sends nothing either', async () => {
    const tenure = aTenure(7);
    const gate = aGate({ tenure });
    expect(gate.epoch).toBe(7);
    tenure.revoke('lost');
    await expect(gate.commit(unit(write('a')))).rejects.toMatchObject({ name: 'AbortedError' });
    nothingSent();
  });

  test.each([undefined, '', 'none'])('for want of a session (%j) sends nothing', async session => {
    const tenure = {
      ...aTenure(),
      fence: { lockKey: 'proconsul/install-a/lock', session: session as never },
    };
    await expect(aGate({ tenure }).commit(unit(write('a')))).rejects.toThrow(TypeError);
    nothingSent();
  });
});

test('a tenancy is asked about every key of a namespace, and about no record', async () => {
  const asked: string[] = [];
  const tenancy: Tenancy = (namespace, key) => {
    asked.push(`${namespace} ${key}`);
    return key.startsWith('team/') ? undefined : `namespace ${namespace} may not write ${key}`;
  };
  const gate = aGate({ tenancy });
  expect((await gate.commit(unit(write(CLAIMS_KEY, 'record'), write('team/a')))).kind).toBe('applied');
  await expect(gate.commit(unit(write('team/b'), write('team2/b')))).rejects.toMatchObject({
    code: 'KEY_NOT_ALLOWED',
    reason: 'NotAllowed',
    message: 'ConsulKV shop/orders: namespace shop may not write team2/b',
  });
  expect(asked).toEqual(['shop team/a', 'shop team/b', 'shop team2/b']);
  expect(consul.transactions).toHaveLength(1);
});
