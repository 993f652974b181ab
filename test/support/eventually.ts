import { inspect } from 'node:util';

export interface EventuallyOptions {
  /** Completes "not within 10000 ms: …". */
  readonly what: string;
  readonly timeoutMs?: number;
  readonly pollMs?: number;
}

/**
 * Asks again until the answer is good: until `fn` neither throws nor returns `false`. Resolves with its answer.
 *
 * @throws Error that names the condition and what was seen last.
 */
export async function eventually<T>(fn: () => T | Promise<T>, options: EventuallyOptions): Promise<T> {
  const { what, timeoutMs = 30_000, pollMs = 25 } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const attempt = await tried(fn);
    if (attempt.good) return attempt.value;
    if (performance.now() > deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${what}\nlast seen: ${attempt.seen}`, {
        cause: attempt.cause,
      });
    }
    await new Promise(resolve => setTimeout(resolve, pollMs));
  }
}

type Attempt<T> =
  | { readonly good: true; readonly value: T }
  | { readonly good: false; readonly seen: string; readonly cause?: unknown };

async function tried<T>(fn: () => T | Promise<T>): Promise<Attempt<T>> {
  try {
    const value = await fn();
    return value === false ? { good: false, seen: 'false' } : { good: true, value };
  } catch (error) {
    return { good: false, seen: error instanceof Error ? error.message : inspect(error), cause: error };
  }
}
