import type { ConsulReads } from '../consul/client.ts';
import type { ConfigEntry } from '../consul/config-entry.ts';
import type { EntryDependency } from '../consul/config-entry-refusals.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import { pause } from '../core/pause.ts';
import { type ResourceKey, resourceKey, resourceRef, type ResourceRef } from '../core/resource.ts';
import { fold } from './destinations.ts';
import type { MirrorListener } from './key-mirror.ts';

/** Between two looks at a kind. Blocking queries would each keep a connection for what is rare and may take a moment. */
const PAUSE_MS = 2_000;

/** Which kinds say whether a dependency is met. */
const KINDS = {
  protocol: ['service-defaults', 'proxy-defaults'],
  'jwt-provider': ['jwt-provider'],
} as const satisfies Record<EntryDependency['kind'], readonly string[]>;

/** `IsProtocolHTTPLike` in `agent/structs/config_entry.go`. */
const HTTP_LIKE: ReadonlySet<string> = new Set(['http', 'http2', 'grpc']);

export interface DependencyWatchOptions {
  readonly consul: Pick<ConsulReads, 'configEntries'>;
  /** As of `IntentionMirror`. */
  readonly datacenter: () => string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

interface Waiter {
  readonly missing: readonly EntryDependency[];
  /** In which state of them it was told last: looking again at the same would be a loop. */
  toldOf: string | undefined;
}

interface Standing {
  readonly index: number;
  readonly protocol: string | undefined;
}

/** A kind that is watched. */
interface Watched {
  readonly loop: AbortController;
  /** Undefined before the first answer. */
  entries: ReadonlyMap<string, Standing> | undefined;
}

/**
 * Tells those who wait for other config entries when what they miss is there: by one list every two seconds of each kind
 * that somebody waits for, and none while nobody does. What decides otherwise than here, as a discovery chain may, is
 * not seen: whoever waits looks for itself now and then.
 */
export class DependencyWatch {
  readonly #options: DependencyWatchOptions;
  readonly #waiters = new Map<ResourceKey, Waiter>();
  readonly #watched = new Map<string, Watched>();
  #listener: MirrorListener = () => {};

  constructor(options: DependencyWatchOptions) {
    this.#options = options;
  }

  onChange(listener: MirrorListener): void {
    this.#listener = listener;
  }

  /**
   * Consul has just refused the resource for these: it is told, once for each state of them, when all are met, which may be
   * at once. Called again without a `release` between: for what it misses now.
   */
  await(ref: ResourceRef, missing: readonly EntryDependency[]): void {
    const key = resourceKey(ref);
    this.#waiters.set(key, { missing, toldOf: this.#waiters.get(key)?.toldOf });
    this.#syncLoops();
    this.#tellOfMet([key]);
  }

  /** It waits no more, or is gone. */
  release(ref: ResourceRef): void {
    if (this.#waiters.delete(resourceKey(ref))) this.#syncLoops();
  }

  #syncLoops(): void {
    const missing = [...this.#waiters.values()].flatMap(waiter => waiter.missing);
    const wanted = new Set<string>(missing.flatMap(({ kind }) => KINDS[kind]));
    for (const [kind, { loop }] of this.#watched) {
      if (wanted.has(kind)) continue;
      loop.abort();
      this.#watched.delete(kind);
    }
    for (const kind of wanted) {
      if (this.#watched.has(kind)) continue;
      const watched: Watched = { loop: new AbortController(), entries: undefined };
      this.#watched.set(kind, watched);
      void this.#follow(kind, watched);
    }
  }

  async #follow(kind: string, watched: Watched): Promise<void> {
    const { consul, datacenter, clock, logger } = this.#options;
    const signal = AbortSignal.any([this.#options.signal, watched.loop.signal]);
    while (!signal.aborted) {
      try {
        const { value } = await consul.configEntries.list(kind, { signal, datacenter: datacenter() });
        watched.entries = new Map(value.map(entry => [fold(entry.name), standingOf(entry)]));
        this.#tellOfMet(this.#waiters.keys());
      } catch (error) {
        if (!signal.aborted) logger.debug({ prefix: kind, err: error }, 'watch of Consul interrupted');
      }
      await pause(clock, PAUSE_MS, signal);
    }
  }

  #tellOfMet(keys: Iterable<ResourceKey>): void {
    const told = [...keys].filter(key => this.#isNewlyMet(this.#waiters.get(key)));
    if (told.length > 0) this.#listener(told.map(resourceRef));
  }

  #isNewlyMet(waiter: Waiter | undefined): boolean {
    if (waiter === undefined || waiter.missing.length === 0) return false;
    if (!waiter.missing.every(dependency => this.#isMet(dependency))) return false;
    const state = waiter.missing.map(dependency => this.#stateOf(dependency)).join();
    if (waiter.toldOf === state) return false;
    waiter.toldOf = state;
    return true;
  }

  /** As `protocolForService` in `agent/consul/state/config_entry.go`, discovery chains left aside. */
  #isMet(dependency: EntryDependency): boolean {
    const [own, everybodys] = this.#standings(dependency);
    if (dependency.kind === 'jwt-provider') return own !== undefined;
    const protocol = own?.protocol ?? everybodys?.protocol;
    return protocol !== undefined && HTTP_LIKE.has(protocol);
  }

  #stateOf(dependency: EntryDependency): string {
    return this.#standings(dependency)
      .map(standing => standing?.index ?? 0)
      .join('/');
  }

  #standings(dependency: EntryDependency): (Standing | undefined)[] {
    const name = dependency.kind === 'protocol' ? dependency.service : dependency.name;
    return KINDS[dependency.kind].map(kind =>
      this.#watched.get(kind)?.entries?.get(kind === 'proxy-defaults' ? 'global' : fold(name)),
    );
  }
}

function standingOf({ modifyIndex, body }: ConfigEntry): Standing {
  const own = body['Protocol'];
  const configured = (body['Config'] as Readonly<Record<string, unknown>> | null | undefined)?.['protocol'];
  const protocol = [own, configured].find(text => typeof text === 'string' && text !== '') as
    | string
    | undefined;
  return { index: modifyIndex, protocol: protocol?.toLowerCase() };
}
