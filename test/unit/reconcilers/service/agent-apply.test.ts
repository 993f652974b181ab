import { beforeEach, describe, expect, test } from 'vitest';
import type { AgentRegistration } from '../../../../src/consul/agent-services.ts';
import { RetryableError, TerminalError } from '../../../../src/core/errors.ts';
import { settled } from '../../../support/fake-clock.ts';
import { AgentProcess } from './agent-process.ts';
import { idsIn, REF, type Spec } from './agent-world.ts';
import { aVm } from './spec-builders.ts';

let process: AgentProcess;
beforeEach(async () => {
  process = new AgentProcess();
  await process.load();
});

const of = (...ids: string[]): Spec => ({ instances: ids.map(id => aVm({ id })) });
const poll = async (ms = 5_000) => {
  process.clock.advance(ms);
  await settled();
};

describe('a registration that the agent carries out when nobody waits for it any more', () => {
  let late: AgentRegistration;
  const land = () => process.agent.register(late);
  const timedOut = () =>
    new RetryableError('no answer', {
      code: 'CONSUL_TIMEOUT',
      reason: 'ConsulUnreachable',
      outcomeUnknown: true,
    });

  beforeEach(async () => {
    process.onRegister = one => {
      late = one;
      throw timedOut();
    };
    await expect(process.turn(of('vm-1'))).rejects.toThrow('no answer');
    process.onRegister = one => process.agent.register(one);
  });

  test.each([5_000, 590_000])('%i ms after its instance was given up is taken out', async ms => {
    await process.turn(of('vm-2'));
    await poll(ms - 5_000);
    land();
    await poll();
    expect(idsIn(process.agent)).toEqual(['vm-2']);
  });

  test('after its resource was deleted is taken out, though nobody has to do with the agent', async () => {
    await process.turn(undefined);
    process.part.forget(REF);
    land();
    await poll();
    expect(idsIn(process.agent)).toEqual([]);
  });

  test('as often as it comes', async () => {
    await process.turn(undefined);
    for (let times = 0; times < 2; times += 1) {
      land();
      await poll();
    }
    expect([idsIn(process.agent), process.deregistered]).toEqual([[], ['vm-1', 'vm-1']]);
  });

  test('when it is wished again is what is wished', async () => {
    await process.turn(of('vm-2'));
    await process.turn(of('vm-1'));
    await poll();
    expect([idsIn(process.agent), process.deregistered]).toEqual([['vm-1'], ['vm-2']]);
  });

  test('is not taken for what was retained later', async () => {
    await process.turn(undefined);
    await process.turn(of('vm-1'));
    await process.turn(undefined, 'Retain');
    await poll();
    expect([idsIn(process.agent), process.deregistered]).toEqual([['vm-1'], []]);
  });

  test('is not what somebody else registers under that id', async () => {
    await process.turn(undefined);
    const service = { ...late.service, meta: new Map([['proconsul-owner', 'install-b/shop/orders']]) };
    process.agent.register({ ...late, service });
    await poll();
    expect(process.deregistered).toEqual([]);
  });

  test('is looked for no longer than a request can take', async () => {
    await process.turn(undefined);
    process.part.forget(REF);
    await poll(600_000);
    await poll();
    expect(process.clock.timerCount).toBe(0);
  });
});

test('what was retained stays', async () => {
  await process.turn(of('vm-1'));
  await process.turn(undefined, 'Retain');
  process.part.forget(REF);
  await poll();
  expect([idsIn(process.agent), process.deregistered]).toEqual([['vm-1'], []]);
});

describe('an instance that the agent refuses for good', () => {
  const both = of('bad', 'good');
  let asked: string[];
  beforeEach(() => {
    asked = [];
    process.onRegister = one => {
      asked.push(one.service.id);
      if (one.service.id === 'bad' && one.service.tags.length === 0) {
        throw new TerminalError('no such weights', { code: 'CONSUL_BAD_REQUEST', reason: 'InvalidSpec' });
      }
      process.agent.register(one);
    };
  });
  const names = () => process.recorded.map(name => name.replace('/agent/agent-1/', '').slice(0, -2));

  test('is not claimed any more, keeps no other waiting, and is said', async () => {
    expect(await process.turn(both)).toMatchObject({
      kind: 'refuse',
      reason: 'InvalidSpec',
      message: expect.stringContaining('no such weights'),
    });
    expect([names(), idsIn(process.agent)]).toEqual([['good'], ['good']]);
    expect(process.recorded.every(name => !name.endsWith('=~'))).toBe(true);
  });

  test('is not asked for again at once, nor is anything written', async () => {
    await process.turn(both);
    const written = process.consul.transactions.length;
    expect(await process.turn(both)).toMatchObject({ kind: 'refuse', reason: 'InvalidSpec' });
    expect([asked, process.consul.transactions.length]).toEqual([['bad', 'good'], written]);
  });

  test('is tried again a minute later, and as soon as it is declared otherwise', async () => {
    await process.turn(both);
    await poll(60_000);
    await process.turn(both);
    expect(asked).toEqual(['bad', 'good', 'bad']);
    expect(await process.turn({ ...both, tags: ['v2'] })).toMatchObject({ kind: 'noop' });
    expect(names().sort()).toEqual(['bad', 'good']);
  });

  test('keeps what stands of it', async () => {
    await process.turn({ ...both, tags: ['v2'] });
    expect(await process.turn(both)).toMatchObject({ kind: 'refuse', reason: 'InvalidSpec' });
    expect([names().sort(), idsIn(process.agent)]).toEqual([
      ['bad', 'good'],
      ['bad', 'good'],
    ]);
  });
});
