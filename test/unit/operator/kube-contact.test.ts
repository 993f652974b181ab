import { expect, test } from 'vitest';
import { AbortedError, RetryableError } from '../../../src/core/errors.ts';
import type { KubeClient, KubeRequest } from '../../../src/kube/index.ts';
import { KubeContact } from '../../../src/operator/kube-contact.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

const request: KubeRequest = { method: 'POST', path: '/events', signal: new AbortController().signal };
const unreachable = new RetryableError('nobody there', { code: 'KUBE_UNREACHABLE', reason: 'Progressing' });
const refused = new RetryableError('forbidden', {
  code: 'KUBE_DENIED',
  reason: 'Progressing',
  cause: { httpStatus: 403 },
});

/** An API server that answers as it is told to, and the process that asks it. */
class Stage {
  readonly clock = new FakeClock();
  readonly stop = new AbortController();
  readonly contact = new KubeContact(this.clock, this.stop.signal);
  /** What stands in the way of an answer. */
  outcome: Error | undefined;
  readonly asked: string[] = [];
  readonly #client: KubeClient;

  constructor() {
    const answer = async ({ path }: KubeRequest): Promise<never> => {
      this.asked.push(path);
      await Promise.resolve();
      if (this.outcome !== undefined) throw this.outcome;
      return {} as never;
    };
    this.#client = this.contact.observe({
      host: 'here',
      contextNamespace: undefined,
      request: answer,
      stream: answer,
      close: () => Promise.resolve(),
    });
  }

  async ask(outcome: Error | undefined, by: 'request' | 'stream' = 'request'): Promise<void> {
    this.outcome = outcome;
    const asked: Promise<unknown> = this.#client[by](request);
    await asked.catch((error: unknown) => expect(error).toBe(outcome));
  }

  async pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 100) {
      this.clock.advance(100);
      await settled();
    }
  }
}

test.each(['request', 'stream'] as const)(
  'contact is lost with the first %s that nobody answers, and stays lost while none is answered',
  async by => {
    const stage = new Stage();
    await stage.ask(undefined);
    await stage.ask(unreachable, by);
    await stage.pass(4000);
    await stage.ask(unreachable);
    await stage.pass(26_000);
    expect(stage.contact.lostForMs).toBe(30_000);
  },
);

test('an install at rest asks on purpose, once each few seconds, and regains contact by the answer', async () => {
  const stage = new Stage();
  await stage.ask(unreachable);
  await stage.pass(12_000);
  expect(stage.asked).toEqual(['/events', '/version', '/version']);
  stage.outcome = undefined;
  await stage.pass(5000);
  expect(stage.contact.lostForMs).toBe(0);
  await stage.pass(60_000);
  expect(stage.asked).toHaveLength(4);
});

test('contact that is lost again is asked for again, by one question at a time', async () => {
  const stage = new Stage();
  await stage.ask(unreachable);
  await stage.pass(1000);
  await stage.ask(undefined);
  await stage.ask(unreachable);
  await stage.pass(5000);
  expect(stage.asked.filter(path => path === '/version')).toHaveLength(1);
  expect(stage.contact.lostForMs).toBe(5000);
});

test.each([
  ['an answer', undefined],
  ['a refusal', refused],
])('%s is contact, and ends the asking', async (_, outcome) => {
  const stage = new Stage();
  await stage.ask(unreachable);
  await stage.pass(1000);
  await stage.ask(outcome);
  await stage.pass(60_000);
  expect(stage.contact.lostForMs).toBe(0);
  expect(stage.asked).not.toContain('/version');
});

test('what was aborted tells nothing', async () => {
  const stage = new Stage();
  await stage.ask(new AbortedError('shutdown'));
  await stage.pass(60_000);
  expect(stage.contact.lostForMs).toBe(0);
  await stage.ask(unreachable);
  await stage.pass(1000);
  await stage.ask(new AbortedError('shutdown'));
  expect(stage.contact.lostForMs).toBe(1000);
});

test('a process that ends asks no more', async () => {
  const stage = new Stage();
  await stage.ask(unreachable);
  stage.stop.abort();
  await stage.pass(60_000);
  expect(stage.asked).toEqual(['/events']);
  expect(stage.clock.timerCount).toBe(0);
});
