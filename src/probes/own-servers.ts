import type { Clock } from '../core/clock.ts';
import type { Lookup } from './dns.ts';
import { type IpAddress, IpRanges, parseIpAddress } from './ip-address.ts';

export interface OwnServersOptions {
  /** Hosts of the API server and of Consul: addresses, or names as the operator itself resolves them. */
  readonly hosts: () => readonly string[];
  /** More of them, that others tell of. Default: none. */
  readonly discover?: (() => Promise<readonly string[]>) | undefined;
  readonly lookup: Lookup;
  readonly clock: Clock;
}

/** How long an answer of the DNS, or of who tells of more servers, is good for. */
const FRESH_MS = 60_000;
const RETRY_MS = 1_000;
/** A name behind which more addresses have come and gone than this forgets the oldest. */
const MAX_ADDRESSES = 256;
const NEVER = new AbortController().signal;

/**
 * The addresses behind the operator's own servers, kept up to date. Those a name once had stay: they may come back. So do
 * servers that were told of, as long as nobody tells of others.
 */
export class OwnServers {
  readonly #options: OwnServersOptions;
  readonly #known = new Map<string, ReadonlySet<string>>();
  #ranges: IpRanges | undefined;
  #discovered: readonly string[] | undefined;
  #discoverAtMs = Number.NEGATIVE_INFINITY;
  #hosts: readonly string[] = [];
  #readAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(options: OwnServersOptions) {
    this.#options = options;
  }

  /**
   * Undefined while a name among them has never been resolved, or nobody has told of more: then nobody knows which addresses to
   * spare.
   */
  async ranges(): Promise<IpRanges | undefined> {
    if (this.#isStale()) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      if (this.#ranges === undefined || this.#hasOtherHosts()) await this.#reading;
    }
    return this.#ranges;
  }

  #isStale(): boolean {
    const ageMs = this.#options.clock.monotonic() - this.#readAtMs;
    return this.#ranges === undefined || ageMs >= FRESH_MS || this.#hasOtherHosts();
  }

  #hasOtherHosts(): boolean {
    const hosts = this.#options.hosts();
    return hosts.length !== this.#hosts.length || hosts.some((host, at) => host !== this.#hosts[at]);
  }

  async #read(): Promise<void> {
    const hosts = [...this.#options.hosts()];
    await this.#discover();
    const all = [...new Set([...hosts, ...(this.#discovered ?? [])])];
    await Promise.all(all.map(host => this.#resolve(host)));
    for (const host of this.#known.keys()) if (!all.includes(host)) this.#known.delete(host);
    const known = all.map(host => this.#known.get(host));
    const isKnown = this.#discovered !== undefined && !known.includes(undefined);
    this.#ranges = isKnown ? new IpRanges(known.flatMap(one => rangesOf(one))) : undefined;
    this.#hosts = hosts;
    this.#readAtMs = this.#options.clock.monotonic();
  }

  async #discover(): Promise<void> {
    const { discover = () => Promise.resolve([]), clock } = this.#options;
    if (clock.monotonic() < this.#discoverAtMs) return;
    try {
      this.#discovered = await discover();
      this.#discoverAtMs = clock.monotonic() + FRESH_MS;
    } catch {
      // What was known stays; without anything nobody is asked.
      this.#discoverAtMs = clock.monotonic() + RETRY_MS;
    }
  }

  async #resolve(host: string): Promise<void> {
    const before = this.#known.get(host) ?? [];
    const found = parseIpAddress(host) ? [host] : await this.#options.lookup(host, NEVER).catch(() => []);
    const addresses = [...new Set([...found, ...before])].slice(0, MAX_ADDRESSES);
    if (addresses.length > 0) this.#known.set(host, new Set(addresses));
  }
}

function rangesOf(addresses: ReadonlySet<string> = new Set()): ConstructorParameters<typeof IpRanges>[0] {
  return [...addresses]
    .map(parseIpAddress)
    .filter((one): one is IpAddress => one !== undefined)
    .map(({ family, address }) => ({ family, address, prefix: family === 'ipv4' ? 32 : 128 }));
}
