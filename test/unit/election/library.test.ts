import { describe, expect, test } from 'vitest';
import { createConsulElection, type ConsulElectionOptions } from '../../../src/election/library.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { randomFrom } from './electorate.ts';
import { LockServer } from './lock-server.ts';
import { consulFor, Process } from './process.ts';

/** A program that uses the library, on a Consul of its own. */
class Program {
  readonly world = new FakeClock();
  readonly server = new LockServer(() => this.world.monotonic());
  readonly process = new Process(this.world, randomFrom(1));

  library(change: ConsulElectionOptions = {}) {
    const { kv, ...consul } = consulFor(this.process, this.server, this.world);
    const list = (): never => {
      throw new Error('no semaphore is expected to get so far');
    };
    return createConsulElection({
      consul: { ...consul, kv: { ...kv, list } },
      clock: this.process,
      random: randomFrom(2),
      holder: 'me',
      ...change,
    });
  }

  /** Lets time pass until the promise settles; fails when it does not. */
  async during<T>(promise: Promise<T>, ms = 10_000): Promise<T> {
    let isSettled = false;
    const done = (): boolean => (isSettled = true);
    promise.then(done, done);
    for (const untilMs = this.world.monotonic() + ms; ; this.world.advance(10)) {
      await settled();
      if (isSettled) return await promise;
      if (this.world.monotonic() >= untilMs) throw new Error(`not settled within ${ms} ms`);
    }
  }
}

const never = (): Promise<void> => Promise.reject(new Error('must not run'));

describe('what can never be right is refused at once', () => {
  test.each([
    ['that is empty', ''],
    ['with an empty segment', 'a//b'],
    ['with a slash in front', '/a'],
    ['with a slash behind', 'a/'],
    ['that leads elsewhere', 'a/../b'],
    ['with what nobody can see', 'a\u0000b'],
    ['over 512 bytes', 'x'.repeat(513)],
  ])('a key %s', async (_, key) => {
    const program = new Program();
    const library = program.library();
    const refused = expect.objectContaining({ name: 'TerminalError', code: 'KEY_INVALID' }) as Error;
    await expect(library.withLock(key, never)).rejects.toEqual(refused);
    expect(() => library.candidate(key)).toThrow(refused);
    expect(() => library.semaphore(key, 2)).toThrow(refused);
    expect(program.server.everMade).toEqual([]);
  });

  test.each([
    ['that is empty', ''],
    ['over 1024 characters', 'x'.repeat(1025)],
  ])('a holder %s', async (_, holder) => {
    const program = new Program();
    const refused = expect.objectContaining({ name: 'TerminalError', code: 'SETTING_INVALID' }) as Error;
    await expect(program.library({ holder }).withLock('k', never)).rejects.toEqual(refused);
    const library = program.library();
    await expect(library.withLock('k', never, { holder })).rejects.toEqual(refused);
    expect(() => library.candidate('k', { holder })).toThrow(refused);
    await expect(library.session({ holder })).rejects.toEqual(refused);
    expect(program.server.everMade).toEqual([]);
  });
});

test('close ends a wait that began in the same turn', async () => {
  const program = new Program();
  const library = program.library();
  const waiting = library.withLock('k', never).catch((error: unknown) => error);
  await program.during(library.close());
  expect(await program.during(waiting)).toMatchObject({ name: 'AbortedError' });
  expect(program.server.everMade).toEqual([]);
});

test.each(['refused', 'cut'] as const)(
  'close gives up what cannot be given back: nothing keeps the program alive although Consul is %s',
  async network => {
    const program = new Program();
    const library = program.library();
    const work = library.withLock('k', async ({ signal }) => {
      const isTold = new Promise(resolve => signal.addEventListener('abort', resolve));
      program.process.network = network;
      void library.close();
      await isTold;
    });
    await expect(program.during(work)).rejects.toMatchObject({ name: 'AbortedError' });
    await program.during(library.close());
    // The deadline of the one request that is under way.
    program.world.advance(1500);
    await settled();
    expect(program.world.timerCount).toBe(0);
  },
);

test('while the library is open, a session that could not be given back is ended once Consul can be reached', async () => {
  const program = new Program();
  const library = program.library();
  const work = library.withLock('k', () => {
    program.process.network = 'refused';
    return Promise.resolve('done');
  });
  expect(await program.during(work)).toBe('done');
  expect(program.server.sessions.size).toBe(1);
  program.process.network = 'good';
  await program.during(
    (async () => {
      while (program.server.sessions.size > 0) await settled();
    })(),
  );
  await program.during(library.close());
});
