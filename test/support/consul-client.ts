import { type ConsulClient, type ConsulClientOptions, createConsulClient } from '../../src/consul/client.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';

/** A client as the operator makes it, which closes with the scope: `await using`. */
export function aConsulClient(
  addresses: readonly string[],
  options: Partial<ConsulClientOptions> = {},
): ConsulClient & AsyncDisposable {
  const client = createConsulClient({ addresses, clock: systemClock, ...options });
  return { ...client, [Symbol.asyncDispose]: () => client.close() };
}

/** Never aborts. */
export const signal = new AbortController().signal;
