import { type ConsulError, consulError } from './errors.ts';

/** Where one Consul server or agent listens. */
export interface ConsulAddress {
  /** `https://consul.example:8501`, without a path: safe in messages and spans. */
  readonly origin: string;
  /** A prefix of every path, without `/` at its end; usually empty. */
  readonly basePath: string;
  readonly host: string;
  readonly port: number;
}

/**
 * Reads one address as `CONSUL_HTTP_ADDR` has it: `host:port` or a URL, without credentials. An address without
 * a scheme is https as soon as any TLS file is configured, so that forgetting it cannot send the token in clear.
 *
 * @throws TerminalError that says what would be right.
 */
export function parseAddress(text: string, tlsConfigured: boolean): ConsulAddress {
  const trimmed = text.trim();
  const scheme = tlsConfigured ? 'https' : 'http';
  const url = URL.parse(trimmed.includes('://') ? trimmed : `${scheme}://${trimmed}`);
  if (url === null) throw wrong('is not host:port or a URL');
  const problem = problemOf(url, tlsConfigured);
  if (problem !== undefined) throw wrong(problem);
  return {
    origin: url.origin,
    basePath: url.pathname.replace(/\/+$/, ''),
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
  };
}

function problemOf(url: URL, tlsConfigured: boolean): string | undefined {
  if (!['http:', 'https:'].includes(url.protocol)) return 'has to begin with http:// or https://';
  if (url.username !== '' || url.password !== '') return 'must not carry a user name or password';
  if (url.search !== '' || url.hash !== '') return 'must not carry a query or a fragment';
  if (tlsConfigured && url.protocol === 'http:') return 'is http:// although TLS files are set: use https://';
  return undefined;
}

/** Never quotes the address: somebody may have put a password into it. */
function wrong(problem: string): ConsulError {
  return consulError('CONSUL_SETTINGS', `an address in CONSUL_HTTP_ADDR ${problem}`);
}

/** Several addresses of one Consul: stays with the one that works and moves on when it fails, never back by itself. */
export class AddressRing {
  readonly #addresses: readonly ConsulAddress[];
  #position = 0;

  constructor(addresses: readonly ConsulAddress[]) {
    if (addresses.length === 0) throw wrong('is needed');
    this.#addresses = addresses;
  }

  get size(): number {
    return this.#addresses.length;
  }

  get current(): ConsulAddress {
    return this.#addresses[this.#position % this.#addresses.length] as ConsulAddress;
  }

  /** Many calls fail together when a server dies; only the first of them moves the ring. */
  moveOnFrom(failed: ConsulAddress): void {
    if (this.size > 1 && this.current === failed) this.#position += 1;
  }
}
