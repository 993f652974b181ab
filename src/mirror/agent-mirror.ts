import type { AgentCheckSeen } from '../consul/agent-services.ts';
import type { ConsulReads } from '../consul/client.ts';
import { canonicalText, type ServiceRegistration } from '../consul/registration.ts';
import type { Clock } from '../core/clock.ts';
import { AbortedError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { pause, untilAborted } from '../core/pause.ts';
import { type ResourceKey, resourceKey, resourceRef, type ResourceRef } from '../core/resource.ts';
import { CriticalTimes } from './critical-times.ts';
import type { MirrorListener } from './key-mirror.ts';

/** An agent answers no blocking query about all that it has. */
const PAUSE_MS = 5_000;

export interface AgentMirrorOptions {
  readonly consul: Pick<ConsulReads, 'agent' | 'agentServices'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** One agent with all that is registered with it, or (`isWhole` false) all that the token may see. */
export interface AgentView {
  /** Name of its node. */
  readonly node: string;
  /** Another one when the agent has lost what it knew. */
  readonly memory: string;
  readonly runsScripts: boolean;
  readonly isWhole: boolean;
  service(id: string): ServiceRegistration | undefined;
  /** Those of a service; with the empty id those of the node. */
  checksOf(serviceId: string): readonly AgentCheckSeen[];
  /**
   * For how many milliseconds, at the least, a check of a tracked service had been critical when that was last seen. 0: it was not,
   * or nobody saw it.
   */
  criticalMs(serviceId: string, checkId: string): number;
}

export interface AgentLook {
  readonly signal: AbortSignal;
  /** Whether only what is read from now on will do. */
  readonly fresh?: boolean;
  /** Who looks, and is not told of what it finds. */
  readonly reader?: ResourceRef | undefined;
}

interface Known {
  /** When it was asked, by a monotonic clock. */
  readonly atMs: number;
  readonly node: string;
  readonly memory: string;
  readonly runsScripts: boolean;
  readonly isWhole: boolean;
  readonly services: ReadonlyMap<string, ServiceRegistration>;
  readonly checks: ReadonlyMap<string, readonly AgentCheckSeen[]>;
  /** What `looksOf` made of it. */
  readonly looks: Map<string, string>;
}

/** A look that several wait for. */
interface Reading {
  readonly begunAt: number;
  /** Whoever waits is not told of what it finds. */
  readonly readers: ResourceRef[];
  readonly done: Promise<void>;
}

/**
 * What is registered with the agent that the operator talks to, looked at every five seconds while somebody has to do with it,
 * and by whoever needs it newer than that.
 */
export class AgentMirror {
  readonly #options: AgentMirrorOptions;
  readonly #tracked = new Map<ResourceKey, ReadonlySet<string>>();
  readonly #trackers = new Map<string, Set<ResourceKey>>();
  readonly #followers = new Set<(view: AgentView) => void>();
  readonly #criticalTimes = new CriticalTimes();
  #listener: MirrorListener = () => {};
  #known: Known | undefined;
  #polling: AbortController | undefined;
  #reading: Reading | undefined;
  #moment = 0;
  #readAt = -1;
  #doubtedAt = 0;

  constructor(options: AgentMirrorOptions) {
    this.#options = options;
  }

  onChange(listener: MirrorListener): void {
    this.#listener = listener;
  }

  /** From now on what happens to services with these ids, and their sidecars, concerns the resource, and nothing else does. */
  track(ref: ResourceRef, ids: Iterable<string>): void {
    const key = resourceKey(ref);
    const wanted = new Set(ids);
    for (const id of this.#tracked.get(key) ?? []) if (!wanted.has(id)) this.#drop(id, key);
    for (const id of wanted) this.#add(id, key);
    if (wanted.size === 0) this.#tracked.delete(key);
    else this.#tracked.set(key, wanted);
    this.#syncPolling();
  }

  /** Looks on, whoever has to do with it, and shows each look, until the function that is returned is called. */
  follow(onLook: (view: AgentView) => void): () => void {
    this.#followers.add(onLook);
    this.#syncPolling();
    return () => {
      this.#followers.delete(onLook);
      this.#syncPolling();
    };
  }

  /** Who has to do with services of these ids: they may go on now that those have no owner any more. */
  concernedBy(ids: Iterable<string>): ResourceRef[] {
    const keys = new Set([...ids].flatMap(id => [...(this.#trackers.get(id) ?? [])]));
    return [...keys].map(resourceRef);
  }

  /** A write was sent, whatever became of it: only a later look counts. */
  doubt(): void {
    this.#doubtedAt = ++this.#moment;
  }

  /**
   * The agent as known, or read where it is doubted.
   * @throws RetryableError when it does not answer, or does not say who it is: `ConsulDenied`.
   * @throws AbortedError when `signal` aborts first.
   */
  async current({ fresh = false, signal, reader }: AgentLook): Promise<AgentView> {
    if (fresh) this.doubt();
    while (this.#known === undefined || this.#readAt < this.#doubtedAt) {
      await Promise.race([this.#readTogether(reader), untilAborted(signal)]);
      if (signal.aborted) throw new AbortedError('aborted', signal.reason);
    }
    return this.#viewOf(this.#known);
  }

  /** Many turns share the look that is under way. */
  async #readTogether(reader: ResourceRef | undefined): Promise<void> {
    this.#reading ??= this.#begin();
    if (reader !== undefined) this.#reading.readers.push(reader);
    await this.#reading.done;
  }

  #begin(): Reading {
    const begunAt = ++this.#moment;
    const readers: ResourceRef[] = [];
    const reading = { begunAt, readers, done: this.#read(begunAt, readers) };
    const end = (): void => {
      if (this.#reading === reading) this.#reading = undefined;
    };
    reading.done.then(end, end);
    return reading;
  }

  async #read(begunAt: number, readers: readonly ResourceRef[]): Promise<void> {
    const { agent, agentServices } = this.#options.consul;
    const atMs = this.#options.clock.monotonic();
    const options = { signal: this.#options.signal };
    const [self, services, checks] = await Promise.all([
      agent.self(options),
      agentServices.services(options),
      agentServices.checks(options),
    ]);
    const { nodeName: node, nodeId: memory, runsScripts } = self;
    this.#readAt = begunAt;
    this.#take(
      {
        atMs,
        node,
        memory,
        runsScripts,
        isWhole: !services.filteredByAcl && !checks.filteredByAcl,
        services: new Map(services.value.map(service => [service.id, service])),
        checks: Map.groupBy(checks.value, ({ serviceId }) => serviceId),
        looks: new Map(),
      },
      readers,
    );
  }

  /** The first answer is no news: nobody has concluded anything before. */
  #take(known: Known, readers: readonly ResourceRef[]): void {
    const before = this.#known;
    this.#known = known;
    for (const id of this.#trackers.keys()) this.#remember(id, known);
    for (const onLook of this.#followers) onLook(this.#viewOf(known));
    if (before === undefined) return;
    const isOther =
      before.node !== known.node ||
      before.memory !== known.memory ||
      before.runsScripts !== known.runsScripts ||
      before.isWhole !== known.isWhole ||
      looksOf('', before) !== looksOf('', known);
    const isMoved = (id: string): boolean => isOther || looksOf(id, before) !== looksOf(id, known);
    const reading = new Set(readers.map(resourceKey));
    const told = this.concernedBy([...this.#trackers.keys()].filter(isMoved));
    const others = told.filter(ref => !reading.has(resourceKey(ref)));
    if (others.length > 0) this.#listener(others);
  }

  #remember(id: string, { services, checks, atMs }: Known): void {
    const critical = (checks.get(id) ?? []).filter(({ status }) => status === 'critical');
    this.#criticalTimes.saw(id, services.has(id) ? critical.map(check => check.id) : undefined, atMs);
  }

  #add(id: string, key: ResourceKey): void {
    const trackers = this.#trackers.get(id) ?? new Set();
    this.#trackers.set(id, trackers.add(key));
    if (this.#known !== undefined) this.#remember(id, this.#known);
  }

  #drop(id: string, key: ResourceKey): void {
    const trackers = this.#trackers.get(id);
    trackers?.delete(key);
    if (trackers?.size !== 0) return;
    this.#trackers.delete(id);
    this.#criticalTimes.forget(id);
  }

  #viewOf({ node, memory, runsScripts, isWhole, services, checks }: Known): AgentView {
    return {
      node,
      memory,
      runsScripts,
      isWhole,
      service: id => services.get(id),
      checksOf: id => checks.get(id) ?? [],
      criticalMs: (serviceId, checkId) => this.#criticalTimes.criticalMs(serviceId, checkId),
    };
  }

  #syncPolling(): void {
    if (this.#tracked.size === 0 && this.#followers.size === 0) {
      this.#polling?.abort();
      this.#polling = undefined;
      // From now on nobody looks.
      this.doubt();
    } else if (this.#polling === undefined) {
      this.#polling = new AbortController();
      void this.#poll(AbortSignal.any([this.#options.signal, this.#polling.signal]));
    }
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    while (!signal.aborted) {
      await pause(clock, PAUSE_MS, signal);
      if (signal.aborted) return;
      try {
        await this.#readTogether(undefined);
      } catch (error) {
        if (!signal.aborted) logger.debug({ err: error }, 'watch of the Consul agent interrupted');
      }
    }
  }
}

const SIDECAR = '-sidecar-proxy';

/** All that can be told of a service, of its sidecar and of their checks, but for what these say in words. */
function looksOf(id: string, known: Known): string {
  let looks = known.looks.get(id);
  if (looks === undefined) {
    const ids = id === '' ? [id] : [id, `${id}${SIDECAR}`];
    looks = JSON.stringify(ids.map(one => textOf(one, known)));
    known.looks.set(id, looks);
  }
  return looks;
}

function textOf(id: string, { services, checks }: Known): readonly unknown[] {
  const service = services.get(id);
  const seen = (checks.get(id) ?? []).map(({ id, name, notes, type, interval, timeout, status }) =>
    [id, name, notes, type, interval, timeout, status].join('\0'),
  );
  return [service === undefined ? null : canonicalText(service), seen.sort()];
}
