import { watch, type WatchParams } from '../consul/blocking-query.ts';
import type { ConsulReads } from '../consul/client.ts';
import { type ConfigEntry, type ConfigEntryBody, SERVICE_INTENTIONS } from '../consul/config-entry.ts';
import type { Answer, ReadOptions } from '../consul/types.ts';
import type { Clock, Random } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import { pause } from '../core/pause.ts';
import type { ResourceRef } from '../core/resource.ts';
import { type Begun, Destinations, type DestinationSeen, fold } from './destinations.ts';
import type { MirrorListener } from './key-mirror.ts';
import { standsAsSent } from './same-intentions.ts';

/** Between two lists, while a rival keeps changing entries: each list is of all entries, and longer when they are many. */
const MIN_PAUSE_MS = 100;
const PAUSE_PER_ENTRY_MS = 0.2;
/** Between two looks whether Consul is still in the history that is known. */
const CHECK_MS = 10_000;

export interface IntentionMirrorOptions {
  readonly consul: Pick<ConsulReads, 'configEntries'>;
  /** Where intentions are written; undefined: the client's, for where the primary one cannot be told. */
  readonly datacenter: () => string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** An index went back, as by a restore. Resolves when it is settled what that means for what is known. */
  readonly onIndexFell: () => Promise<void>;
}

export interface LookOptions {
  readonly signal: AbortSignal;
  /** Whether only what is read from now on will do. */
  readonly fresh?: boolean;
  /** Who looks, and is not told of what it finds. */
  readonly reader?: ResourceRef | undefined;
}

export interface EntryWrite {
  readonly writer: ResourceRef;
  /** Undefined: deleted. */
  readonly sent: ConfigEntryBody | undefined;
  readonly send: () => Promise<{ readonly applied: boolean }>;
  readonly signal: AbortSignal;
}

export interface EntryWritten {
  /** False: something else stood there than was believed, and nothing was written. */
  readonly applied: boolean;
  /** Whether the entry stood as sent when it was read back; false when nothing was written. */
  readonly asSent: boolean;
  readonly seen: DestinationSeen;
}

/**
 * The `service-intentions` entries of tracked destinations, by one blocking query on the kind. Own writes are taken in
 * as they are read back; resources are told of what others moved, a source that is not theirs included.
 */
export class IntentionMirror {
  readonly #options: IntentionMirrorOptions;
  readonly #destinations = new Destinations();
  #listener: MirrorListener = () => {};
  #loop: AbortController | undefined;
  #nextCheck = 0;

  constructor(options: IntentionMirrorOptions) {
    this.#options = options;
  }

  onChange(listener: MirrorListener): void {
    this.#listener = listener;
  }

  /** Follows the kind from now on, until the signal aborts. Called again: does nothing. */
  open(): void {
    if (this.#loop !== undefined) return;
    this.#follow();
    void this.#checkForEver();
  }

  /** A resource has to do with one destination at a time; undefined: with none any more. */
  track(ref: ResourceRef, destination: string | undefined): void {
    this.#destinations.track(ref, destination);
  }

  /** Who has to do with these destinations: they may go on now that one of their sources has no owner any more. */
  concernedBy(destinations: Iterable<string>): ResourceRef[] {
    return this.#destinations.trackersOf(destinations);
  }

  /** What is known of a destination without asking. */
  seen(destination: string): DestinationSeen | undefined {
    return this.#loop === undefined ? undefined : this.#destinations.seen(destination);
  }

  /**
   * What stands at the destination: as known, or read consistently where nothing is known for sure, where it is doubted,
   * and where it is not followed.
   * @throws RetryableError when Consul cannot tell; `ConsulDenied` when it must not.
   */
  async current(
    destination: string,
    { fresh = false, signal, reader }: LookOptions,
  ): Promise<DestinationSeen> {
    const known = fresh ? undefined : this.seen(destination);
    if (known !== undefined) return known;
    for (;;) {
      const begun = this.#destinations.begin();
      const read = await this.#read(destination, begun, { signal, reader });
      if (!this.#destinations.has(destination)) return read;
      const seen = this.#destinations.seen(destination);
      if (seen !== undefined) return seen;
    }
  }

  /** Consul said that something else stands there than was believed, or did not say what. */
  doubt(destination: string): void {
    this.#destinations.doubt(destination);
  }

  /**
   * Sends a write of the entry and reads it back. What moves meanwhile is told to the others unless it is as sent; what
   * stands there is doubted when anything fails.
   *
   * @throws what `send` throws; RetryableError when it cannot be read back.
   * @throws TypeError while another write of the destination is under way: they have to be serial.
   */
  async write(destination: string, { writer, sent, send, signal }: EntryWrite): Promise<EntryWritten> {
    this.#destinations.beginWrite(destination);
    let asSent = false;
    try {
      const { applied } = await send().finally(() => this.#destinations.doubt(destination));
      const seen = await this.current(destination, { signal, reader: writer });
      asSent = applied && standsAsSent(sent, seen.entry?.body);
      return { applied, asSent, seen };
    } finally {
      this.#tell(this.#destinations.endWrite(destination, asSent, writer));
    }
  }

  /** Reads all of these anew with one request, whatever was believed: after a start, a restore, a rebuild. */
  async load(tracked: Iterable<readonly [ResourceRef, string]>): Promise<void> {
    for (const [ref, destination] of tracked) this.#destinations.track(ref, destination);
    this.#destinations.loseHistory();
    await this.lookAtAll();
    // A query under way may wait for an index of a history that is no more.
    if (this.#loop !== undefined) this.#follow();
  }

  /** Reads all once more and tells of those that moved, while what is known of the others stays in use. */
  async lookAtAll(): Promise<void> {
    if (this.#destinations.size === 0) return;
    const { consul, signal } = this.#options;
    const begun = this.#destinations.begin();
    const answer = await consul.configEntries.list(SERVICE_INTENTIONS, this.#consistently(signal));
    this.#takeList(answer, { begun: this.#placed(begun, answer.index), consistent: true });
  }

  #follow(): void {
    this.#loop?.abort();
    const loop = new AbortController();
    this.#loop = loop;
    void this.#followUntil(AbortSignal.any([this.#options.signal, loop.signal]));
  }

  async #followUntil(signal: AbortSignal): Promise<void> {
    const { consul, datacenter, clock, random } = this.#options;
    let begun = this.#destinations.begin();
    const read = ({ signal: aborting, ...block }: WatchParams) => {
      begun = this.#destinations.begin();
      const options = { signal: aborting, block, datacenter: datacenter() };
      return consul.configEntries.list(SERVICE_INTENTIONS, options);
    };
    for await (const { value, reset } of watch({ read, signal, clock, random, onFailure: this.#say })) {
      if (reset) begun = await this.#lostHistory();
      if (signal.aborted) return;
      this.#takeList(value, { begun, consistent: false });
      await pause(clock, Math.max(MIN_PAUSE_MS, value.value.length * PAUSE_PER_ENTRY_MS), signal);
    }
  }

  #takeList(
    { value, index, filteredByAcl }: Answer<readonly ConfigEntry[]>,
    reading: { readonly begun: Begun; readonly consistent: boolean },
  ): void {
    const entries = new Map(value.map(entry => [fold(entry.name), entry]));
    const told: ResourceRef[] = [];
    for (const name of this.#destinations.names()) {
      const entry = entries.get(name);
      const isHidden = entry === undefined && filteredByAcl;
      const concerned = isHidden
        ? this.#destinations.missed(name, index, reading.begun)
        : this.#destinations.learn(name, { entry, asOf: index }, reading);
      told.push(...concerned);
    }
    this.#tell(told);
  }

  async #read(
    destination: string,
    begun: Begun,
    { signal, reader }: { readonly signal: AbortSignal; readonly reader?: ResourceRef | undefined },
  ): Promise<DestinationSeen> {
    const id = { kind: SERVICE_INTENTIONS, name: destination };
    const { value, index } = await this.#options.consul.configEntries.get(id, this.#consistently(signal));
    const seen = { entry: value, asOf: index };
    const learning = { begun: this.#placed(begun, index), consistent: true, reader };
    this.#tell(this.#destinations.learn(destination, seen, learning));
    return seen;
  }

  #consistently(signal: AbortSignal): ReadOptions & { readonly datacenter: string | undefined } {
    return { signal, consistency: 'consistent', datacenter: this.#options.datacenter() };
  }

  async #checkForEver(): Promise<void> {
    const { signal, clock, random } = this.#options;
    while (!signal.aborted) {
      await pause(clock, CHECK_MS * (0.9 + 0.2 * random()), signal);
      if (!signal.aborted) await this.#checkHistory().catch(this.#say);
    }
  }

  /** Keeps an eye on where Consul stands: the read of any single entry tells the index of all, so they take turns. */
  async #checkHistory(): Promise<void> {
    const names = this.#destinations.names();
    const name = names[this.#nextCheck++ % names.length];
    if (name !== undefined) await this.#read(name, this.#destinations.begin(), this.#options);
  }

  /**
   * Consul may be restored or rebuilt in the moment between two blocking queries. The next one would then wait for an
   * index that the new history may not reach for long; a consistent read shows it at once, and is of the new history.
   */
  #placed(begun: Begun, index: number): Begun {
    if (!this.#destinations.isOfAnotherHistory(index, begun)) return begun;
    void this.#lostHistory();
    if (this.#loop !== undefined) this.#follow();
    return this.#destinations.begin();
  }

  /** Resolves with a moment of the new history. */
  async #lostHistory(): Promise<Begun> {
    this.#destinations.loseHistory();
    await this.#options.onIndexFell().catch(this.#say);
    return this.#destinations.begin();
  }

  #tell(refs: readonly ResourceRef[]): void {
    if (refs.length > 0) this.#listener(refs);
  }

  readonly #say = (error: unknown): void => {
    const { signal, logger } = this.#options;
    if (!signal.aborted)
      logger.debug({ prefix: SERVICE_INTENTIONS, err: error }, 'watch of Consul interrupted');
  };
}
