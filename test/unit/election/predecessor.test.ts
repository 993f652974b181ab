import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { isKnownDead, parseProcessIdentity, type PidLookup } from '../../../src/election/predecessor.ts';
import { lookUpPid, readProcessIdentity } from '../../../src/election/process-identity.ts';

const MINE = { podUid: 'pod-1', bootId: 'boot-1', pidNamespace: 'pid:[1]', pid: 7, startTime: '700' };
const OTHER = { bootId: 'boot-1', pidNamespace: 'pid:[1]', pid: 3, startTime: '300' };
const gone: PidLookup = () => 'gone';
const unknown: PidLookup = () => undefined;
const runs =
  (startTime: string): PidLookup =>
  () => ({ startTime });

describe('a predecessor is known to be dead', () => {
  test.each([
    ['another process of the same Pod', { ...OTHER, podUid: 'pod-1', bootId: 'boot-0' }, unknown],
    ['the same pid in the next container of the same Pod', { ...MINE, pidNamespace: 'pid:[0]' }, unknown],
    ['a process of this machine that is gone', OTHER, gone],
    ['a process of this machine whose pid another has', OTHER, runs('301')],
  ])('when it was %s', (_, theirs, lookUp) => {
    expect(isKnownDead(theirs, MINE, lookUp)).toBe(true);
  });

  test.each([
    ['this process itself', MINE, runs('700')],
    ['one beside it in the same container', { ...OTHER, podUid: 'pod-1' }, runs('300')],
    ['one in the same container that cannot be looked at', { ...OTHER, podUid: 'pod-1' }, unknown],
    ['a process of this machine that runs', OTHER, runs('300')],
    ['a process of this machine that cannot be looked at', OTHER, unknown],
    ['of another machine, or of an earlier boot', { ...OTHER, bootId: 'boot-0' }, gone],
    ['of another pid namespace', { ...OTHER, pidNamespace: 'pid:[0]' }, gone],
    ['of another Pod', { ...OTHER, podUid: 'pod-2', pidNamespace: 'pid:[0]' }, gone],
  ])('but not when it is %s', (_, theirs, lookUp) => {
    expect(isKnownDead(theirs, MINE, lookUp)).toBe(false);
  });

  test('nor by the absence of Pods on both sides', () => {
    const { podUid: _, ...mine } = MINE;
    expect(isKnownDead({ ...OTHER, bootId: 'boot-0' }, mine, gone)).toBe(false);
  });
});

describe('an identity in a lock', () => {
  test('comes back as it was written', () => {
    expect(parseProcessIdentity(JSON.parse(JSON.stringify(MINE)))).toEqual(MINE);
    expect(parseProcessIdentity(OTHER)).toEqual(OTHER);
  });

  test.each([
    undefined,
    null,
    'text',
    [],
    {},
    { ...MINE, pid: '7' },
    { ...MINE, pid: 0 },
    { ...MINE, pid: 1.5 },
    { ...MINE, bootId: '' },
    { ...MINE, startTime: 'x'.repeat(129) },
    { ...MINE, podUid: 5 },
  ])('is none: %j', value => {
    expect(parseProcessIdentity(value)).toBeUndefined();
  });
});

describe('on this machine', () => {
  test('this process runs, and is the same whenever it is asked', () => {
    const mine = readProcessIdentity('pod-1');
    expect(mine).toEqual(readProcessIdentity('pod-1'));
    expect(mine).toMatchObject({ podUid: 'pod-1', pid: process.pid });
    expect(lookUpPid(process.pid)).toEqual({ startTime: mine?.startTime });
  });

  test('a child runs until it is killed, and is known to be dead then', async () => {
    const mine = readProcessIdentity('pod-1');
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await once(child, 'spawn');
    const found = lookUpPid(child.pid ?? 0);
    if (mine === undefined || typeof found !== 'object') throw new Error('/proc is not to be read');
    const theirs = { ...mine, pid: child.pid ?? 0, startTime: found.startTime };
    expect(isKnownDead(theirs, mine, lookUpPid)).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isKnownDead(theirs, mine, lookUpPid)).toBe(true);
  });
});
