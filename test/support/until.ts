import { settled } from './fake-clock.ts';

/** Resolves once `condition` holds. Looks again whenever the event loop has gone round; the test's timeout is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await settled();
}
