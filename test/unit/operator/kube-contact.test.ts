import { expect, test } from 'vitest';
import { AbortedError, RetryableError } from '../../../src/core/errors.ts';
import type { KubeClient, KubeRequest } from '../../../src/kube/index.ts';
import { KubeContact } from '../../../src/operator/kube-contact.ts';

const request: KubeRequest = { method: 'GET', path: '/api', signal: new AbortController().signal };
const unreachable = new RetryableError('nobody there', { code: 'KUBE_UNREACHABLE', reason: 'Progressing' });
const refused = new RetryableError('forbidden', {
  code: 'KUBE_DENIED',
  reason: 'Progressing',
  cause: { httpStatus: 403 },
});

function aContact() {
  const clock = { nowMs: 0, monotonic: () => clock.nowMs };
  const next = { outcome: undefined as Error | undefined };
  const answer = async (): Promise<never> => {
    await Promise.resolve();
    if (next.outcome !== undefined) throw next.outcome;
    return {} as never;
  };
  const contact = new KubeContact(clock);
  const client: KubeClient = contact.observe({
    host: 'here',
    contextNamespace: undefined,
    request: answer,
    stream: answer,
    close: () => Promise.resolve(),
  });
  return {
    contact,
    asks: async (
      outcome: Error | undefined,
      { atMs, by = 'request' as 'request' | 'stream' }: { atMs: number; by?: 'request' | 'stream' },
    ): Promise<void> => {
      clock.nowMs = atMs;
      next.outcome = outcome;
      const asked: Promise<unknown> = client[by](request);
      await asked.catch((error: unknown) => expect(error).toBe(outcome));
    },
    at: (ms: number): number => {
      clock.nowMs = ms;
      return contact.lostForMs;
    },
  };
}

test('contact is lost with the first request that nobody answers, and stays lost while none is answered', async () => {
  const { asks, at } = aContact();
  await asks(undefined, { atMs: 0 });
  await asks(unreachable, { atMs: 1000, by: 'stream' });
  await asks(unreachable, { atMs: 5000 });
  expect(at(31_000)).toBe(30_000);
});

test.each([
  ['an answer', undefined],
  ['a refusal', refused],
])('%s is contact', async (_, outcome) => {
  const { asks, at } = aContact();
  await asks(unreachable, { atMs: 1000 });
  await asks(outcome, { atMs: 2000 });
  expect(at(60_000)).toBe(0);
});

test('what was aborted tells nothing', async () => {
  const { asks, at } = aContact();
  await asks(new AbortedError('shutdown'), { atMs: 1000 });
  expect(at(60_000)).toBe(0);
  await asks(unreachable, { atMs: 60_000 });
  await asks(new AbortedError('shutdown'), { atMs: 61_000 });
  expect(at(70_000)).toBe(10_000);
});
