import { lookup, Resolver } from 'node:dns/promises';
import { socketCode } from '../core/socket-code.ts';
import { isAnswerOfTheDns } from './own-faults.ts';

/**
 * The addresses of a name: at least one.
 * @throws Error with a `code`, as `ENOTFOUND`, or when `signal` aborts.
 */
export type Lookup = (name: string, signal: AbortSignal) => Promise<readonly string[]>;

const TRY_MS = 2_000;
const TRIES = 2;

/**
 * Asks the DNS, IPv4 before IPv6, by c-ares: an answer that does not come costs no thread, whereas four names that
 * hang in getaddrinfo would hold up every file and every connection of this process. So names are whole: neither
 * /etc/hosts nor search domains are looked at, as with any other user of Consul's catalog.
 */
export function createDnsLookup(options: { readonly servers?: readonly string[] } = {}): Lookup {
  return async (name, signal) => {
    // One for each question: cancelling ends all questions of a resolver.
    const resolver = new Resolver({ timeout: TRY_MS, tries: TRIES });
    if (options.servers !== undefined) resolver.setServers(options.servers);
    const cancel = (): void => resolver.cancel();
    signal.throwIfAborted();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const [ipv4, ipv6] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
      const found = [ipv4, ipv6].flatMap(one => (one.status === 'fulfilled' ? one.value : []));
      const failures = [ipv4, ipv6].flatMap(one =>
        one.status === 'rejected' ? [one.reason as unknown] : [],
      );
      // That there is no address of one family says nothing while the other could not be asked for.
      if (found.length === 0 && failures.length > 0)
        throw failures.find(thrown => !isAnswerOfTheDns(socketCode(thrown))) ?? failures[0];
      return found;
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  };
}

/** As every client on this machine resolves names, /etc/hosts and search domains included. */
export const systemLookup: Lookup = async name => {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
};
