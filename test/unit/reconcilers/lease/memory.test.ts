import { beforeEach, describe, expect, test } from 'vitest';
import { LeaseMemory } from '../../../../src/reconcilers/lease/memory.ts';
import { ACQUIRED, LABEL, podRef } from './builders.ts';

const ORDERS = { namespace: 'shop', name: 'orders' };
const BILLING = { namespace: 'shop', name: 'billing' };

let memory: LeaseMemory;
beforeEach(() => {
  memory = new LeaseMemory();
});

describe('what is told of tokens', () => {
  const highest = (status: Parameters<LeaseMemory['told']>[1] = {}) => memory.told(ORDERS, status).highest;

  test('is the highest of all that the status shows, whoever holds the lease now', () => {
    const holders = [{ name: 'a', fencingToken: '7' }];
    expect(highest({})).toBe(0n);
    expect(highest({ holders })).toBe(7n);
    expect(highest({ holders: [], highestFencingToken: '9' })).toBe(9n);
    expect(highest({ holders, highestFencingToken: '3' })).toBe(7n);
  });

  test('and of those that this process gave, however many it gave since', () => {
    memory.granted(ORDERS, { session: 'first', token: 100n, acquiredTime: ACQUIRED });
    for (let token = 1n; token < 80n; token++) {
      memory.granted(ORDERS, { session: `s-${token}`, token, acquiredTime: ACQUIRED });
    }
    expect(highest({ highestFencingToken: '9' })).toBe(100n);
    memory.forget(ORDERS);
    expect(highest()).toBe(0n);
  });

  test.each(['9999999999999999999', '9223372036854775807', '99999999999999999999999', 'x', '-1', ''])(
    'is not led astray by %j in a status',
    token => {
      expect(highest({ holders: [{ name: 'a', fencingToken: token }], highestFencingToken: token })).toBe(0n);
    },
  );

  test('the time is that of the grant, else what the status says', () => {
    const holders = [
      { name: 'a', sessionID: 's-1', acquiredTime: '2020-01-01T00:00:00Z' },
      { name: 'b', sessionID: 's-2', acquiredTime: '2020-01-01T00:00:00Z' },
    ];
    memory.granted(ORDERS, { session: 's-2', token: 1n, acquiredTime: ACQUIRED });
    const { acquired } = memory.told(ORDERS, { holders });
    expect(Object.fromEntries(acquired)).toEqual({ 's-1': '2020-01-01T00:00:00Z', 's-2': ACQUIRED });
  });
});

describe('a Pod that two leases label', () => {
  const led = (lease: typeof ORDERS, ...pods: readonly string[]) =>
    memory.sawLeading(lease, { label: LABEL, pods: pods.map(podRef) });
  const isLedElsewhere = (pod: string, label = LABEL, lease = ORDERS) =>
    memory.isLedElsewhere(lease, podRef(pod), label);

  test('is led elsewhere while the other one was last seen to lead it, by the same label', () => {
    expect(isLedElsewhere('a')).toBe(false);
    led(BILLING, 'a');
    expect([isLedElsewhere('a'), isLedElsewhere('b'), isLedElsewhere('a', 'other')]).toEqual([
      true,
      false,
      false,
    ]);
    expect(isLedElsewhere('a', LABEL, BILLING)).toBe(false);
    expect(isLedElsewhere('a', LABEL, { namespace: 'elsewhere', name: 'orders' })).toBe(false);
    led(BILLING);
    expect(isLedElsewhere('a')).toBe(false);
  });

  test('is let go of by the second of two that lose it at the same time', () => {
    led(ORDERS, 'a');
    led(BILLING, 'a');
    led(ORDERS);
    expect(isLedElsewhere('a', LABEL, ORDERS)).toBe(true);
    led(BILLING);
    expect(isLedElsewhere('a', LABEL, BILLING)).toBe(false);
  });

  test('is asked for by the status while nobody has looked since this replica leads', () => {
    expect(memory.hasSeen(BILLING)).toBe(false);
    led(BILLING);
    expect(memory.hasSeen(BILLING)).toBe(true);
    memory.forgetLeading();
    expect(memory.hasSeen(BILLING)).toBe(false);
    led(BILLING, 'a');
    memory.forget(BILLING);
    expect([memory.hasSeen(BILLING), isLedElsewhere('a')]).toEqual([false, false]);
  });
});

describe('Pods that led', () => {
  const formerly = (...there: readonly string[]) =>
    memory.formerHolders(ORDERS, {}, ({ name }) => there.includes(name)).map(({ name }) => name);

  test('are remembered for as long as they exist, and no longer', () => {
    memory.mayBeLabelled(ORDERS, ['a', 'b'].map(podRef));
    memory.mayBeLabelled(ORDERS, ['c'].map(podRef));
    expect(formerly('a', 'b', 'c')).toEqual(['a', 'b', 'c']);
    expect(formerly('b')).toEqual(['b']);
    expect(formerly('a', 'b', 'c')).toEqual(['b']);
  });

  test('are told by the status, too', () => {
    const holders = [{ name: 'a', uid: 'u-a' }, { name: 'nobody' }, { name: 'b', uid: 'u-b' }];
    memory.mayBeLabelled(ORDERS, [podRef('b')]);
    expect(memory.formerHolders(ORDERS, { holders }, () => true)).toEqual(['a', 'b'].map(podRef));
    expect(memory.formerHolders(ORDERS, { holders }, ({ name }) => name === 'b')).toEqual([podRef('b')]);
  });
});

test('a lock that Consul keeps closed is waited for', () => {
  memory.delay(ORDERS, 'k/0', 100);
  memory.delay(ORDERS, 'k/1', 300);
  const at = (nowMs: number) => {
    const { keys, againMs } = memory.delays(ORDERS, nowMs);
    return [[...keys], againMs];
  };
  expect(at(50)).toEqual([['k/0', 'k/1'], 250]);
  expect(at(100)).toEqual([['k/1'], 200]);
  expect(at(300)).toEqual([[], 0]);
});
