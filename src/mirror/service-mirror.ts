import { watch, type WatchParams } from '../consul/blocking-query.ts';
import type { ConsulReads } from '../consul/client.ts';
import type { CheckRow, NodeRow, NodeServices, ServiceRow } from '../consul/nodes.ts';
import { checkPlace, type NodeName, nodePlace, servicePlace } from '../consul/service-ids.ts';
import type { CatalogOperation } from '../consul/txn-catalog.ts';
import type { Answer, ModifyIndex } from '../consul/types.ts';
import type { Clock, Random } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import { AbortedError } from '../core/errors.ts';
import { pause, untilAborted } from '../core/pause.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { MirrorListener } from './key-mirror.ts';
import { type Moved, NodeMirror } from './node-mirror.ts';
import { type Instance, TrackedInstances } from './tracked-instances.ts';

/** Between two looks at a node, while it keeps moving: each is at all of it, and longer when that is much. */
const MIN_PAUSE_MS = 100;
const PAUSE_PER_SERVICE_MS = 0.2;
const SWEEP_MS = 10_000;
/** The next sweep waits as many times as long as this one took, if that is longer. */
const PAUSE_PER_SWEEP = 4;
/** Of nodes that users name, there may be thousands. */
const NODES_AT_ONCE = 2;

export interface ServiceMirrorOptions {
  readonly consul: Pick<ConsulReads, 'nodes'>;
  /** The install's own: each is followed by one blocking query while something on it is tracked. */
  readonly virtualNodes: readonly NodeName[];
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** An index went back, as by a restore. Resolves when it is settled what that means for what is known. */
  readonly onIndexFell: () => Promise<void>;
}

/** One node as known: all that stands on it, or (`isWhole` false) all that the token may see. */
export interface NodeView {
  readonly node: NodeRow | undefined;
  readonly isWhole: boolean;
  /** Nothing is known to stand on it. */
  readonly isEmpty: boolean;
  service(id: string): ServiceRow | undefined;
  services(): Iterable<ServiceRow>;
  /** Those of an instance; with the empty id those of the node. */
  checksOf(serviceId: string): readonly CheckRow[];
  check(id: string): CheckRow | undefined;
}

export interface NodeLook {
  readonly signal: AbortSignal;
  /** Whether only what is read from now on will do. */
  readonly fresh?: boolean;
  /** Who looks, and is not told of what it finds. */
  readonly reader?: ResourceRef | undefined;
}

interface Tracked {
  mirror: NodeMirror;
  /** An ACL hid something when it was last read. */
  isFiltered: boolean;
  /** Only a consistent read that was begun later than this counts. */
  doubtedAt: number;
  readAt: number;
  /** The read under way that was begun last. */
  reading: Reading | undefined;
  loop: AbortController | undefined;
}

/** A read that several wait for. */
interface Reading {
  readonly begunAt: number;
  /** Whoever waits is not told of what it finds. */
  readonly readers: ResourceRef[];
  readonly done: Promise<Tracked>;
}

/**
 * The instances on the install's virtual nodes, by one blocking query each, and on nodes that users name, by a sweep every
 * 10 s, which reads nothing while Consul's catalog stands still. Checks are swept everywhere: what others do to one is
 * known 10 s later, and our own writes at once.
 */
export class ServiceMirror {
  readonly #options: ServiceMirrorOptions;
  readonly #tracked = new TrackedInstances();
  readonly #nodes = new Map<string, Tracked>();
  #listener: MirrorListener = () => {};
  #isOpen = false;
  #moment = 0;
  #historyBegunAt = 0;
  #swept = { services: -1, checks: -1 };

  constructor(options: ServiceMirrorOptions) {
    this.#options = options;
  }

  onChange(listener: MirrorListener): void {
    this.#listener = listener;
  }

  /** Follows from now on, until the signal aborts. Called again: does nothing. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#syncLoops();
    void this.#sweepForEver();
  }

  /** From now on what happens to these instances, and to no others, concerns the resource. */
  track(ref: ResourceRef, instances: readonly Instance[]): void {
    this.#tracked.track(ref, instances);
    for (const name of this.#tracked.nodes()) {
      if (this.#nodes.has(name)) continue;
      this.#nodes.set(name, this.#newlyTracked());
      // It was not part of the last sweep.
      this.#swept = { services: -1, checks: -1 };
    }
    for (const [name, { loop }] of this.#nodes) {
      if (this.#tracked.has(name)) continue;
      loop?.abort();
      this.#nodes.delete(name);
    }
    this.#syncLoops();
  }

  /** Whether an outside change of these instances is seen at once, or by the sweep. */
  coverage(instances: Iterable<Instance>): 'Watched' | 'Swept' {
    for (const { node } of instances) if (!this.#isVirtual(node)) return 'Swept';
    return 'Watched';
  }

  /** Who has to do with these instances: they may go on now that those have no owner any more. */
  concernedBy(instances: Iterable<Instance>): ResourceRef[] {
    return [...instances].flatMap(({ node, id }) => this.#tracked.trackersOf(node, [id]));
  }

  /** The node without asking; undefined where nobody knows, or only a read can tell. */
  seen(name: NodeName): NodeView | undefined {
    const node = this.#nodes.get(name);
    const isKnown = this.#isOpen && node !== undefined && node.readAt >= node.doubtedAt;
    return isKnown ? viewOf(node) : undefined;
  }

  /**
   * The node as known, or read consistently where it is doubted.
   * @throws RetryableError when Consul cannot tell.
   */
  async current(name: NodeName, { fresh = false, signal, reader }: NodeLook): Promise<NodeView> {
    if (fresh) this.doubt(name);
    for (;;) {
      const known = this.seen(name);
      if (known !== undefined) return known;
      const read = await this.#readTogether(name, signal, reader);
      if (!this.#isOpen || !this.#nodes.has(name)) return viewOf(read);
    }
  }

  /** Consul said that something else stands there than was believed, or did not say what. */
  doubt(name: NodeName): void {
    const node = this.#nodes.get(name);
    if (node !== undefined) node.doubtedAt = ++this.#moment;
  }

  /** What is known may be old, as that of a standby is: each node is read before anybody concludes anything from it. */
  doubtAll(): void {
    for (const name of this.#tracked.nodes()) this.doubt(name);
  }

  /** Takes in what an own transaction did, by the indexes it returned. Nobody is told. */
  wrote(operations: readonly CatalogOperation[], indexes: ReadonlyMap<string, ModifyIndex>): void {
    for (const operation of operations) {
      const name = operation.verb === 'node-create' ? operation.node.node : operation.node;
      const node = this.#nodes.get(name);
      if (node !== undefined) take(node.mirror, operation, indexes);
    }
  }

  /** Takes in a service as it was read right after we registered it. Nobody is told. */
  registered(node: NodeName, row: ServiceRow): void {
    this.#nodes.get(node)?.mirror.wroteService(row);
  }

  /** Reads all that is tracked anew, whatever was believed: after a start, a restore, a rebuild. */
  async load(tracked: Iterable<readonly [ResourceRef, readonly Instance[]]>): Promise<void> {
    for (const [ref, instances] of tracked) this.track(ref, instances);
    this.#loseHistory();
    await this.#eachNode(this.#tracked.nodes(), name => this.#read(name));
  }

  /** Reads all once more and tells of what moved, while what is known stays in use. */
  async lookAtAll(): Promise<void> {
    await this.#eachNode(this.#tracked.nodes(), name => this.#read(name));
  }

  #isVirtual(name: string): boolean {
    return this.#options.virtualNodes.includes(name as NodeName);
  }

  #newlyTracked(): Tracked {
    const doubtedAt = ++this.#moment;
    const mirror = new NodeMirror();
    return { mirror, isFiltered: false, doubtedAt, readAt: -1, reading: undefined, loop: undefined };
  }

  #syncLoops(): void {
    if (!this.#isOpen) return;
    for (const [name, node] of this.#nodes) {
      if (node.loop !== undefined || !this.#isVirtual(name)) continue;
      node.loop = new AbortController();
      void this.#follow(name as NodeName, AbortSignal.any([this.#options.signal, node.loop.signal]));
    }
  }

  async #follow(name: NodeName, signal: AbortSignal): Promise<void> {
    const { consul, clock, random } = this.#options;
    let begunAt = 0;
    let last = '';
    const read = ({ signal: aborting, ...block }: WatchParams) => {
      begunAt = ++this.#moment;
      return consul.nodes.services(name, { signal: aborting, block });
    };
    for await (const { value, reset } of watch({ read, signal, clock, random, onFailure: this.#say(name) })) {
      if (reset) return void this.#lostHistory();
      if (signal.aborted) return;
      this.#takeServices(name, value, begunAt);
      const now = contentOf(value.value);
      if (now === last) await this.#lookWhetherThere(name).catch(this.#say(name));
      last = now;
      await pause(clock, Math.max(MIN_PAUSE_MS, value.value.services.length * PAUSE_PER_SERVICE_MS), signal);
    }
  }

  /**
   * A query that the deletion of its node wakes answers what stood there before, at the new index: `NodeServiceList` in Consul's
   * `agent/consul/catalog_endpoint.go` leaves the reply of the round before as it was.
   */
  async #lookWhetherThere(name: NodeName): Promise<void> {
    const begunAt = ++this.#moment;
    this.#takeExistence(name, await this.#options.consul.nodes.exists(name, this.#consistently), begunAt);
  }

  #takeExistence(name: NodeName, { value: isThere, ...reading }: Answer<boolean>, begunAt: number): void {
    const isKnown = this.#nodes.get(name)?.mirror.node !== undefined;
    if (isThere || reading.filteredByAcl || !isKnown) return;
    this.#takeServices(name, { ...reading, value: { node: undefined, services: [] } }, begunAt);
  }

  /** The first answer is no news: nobody has concluded anything before. */
  #takeServices(
    name: NodeName,
    answer: Answer<NodeServices>,
    begunAt: number,
    readers: readonly ResourceRef[] = [],
  ): void {
    const node = this.#nodes.get(name);
    if (node === undefined || begunAt < this.#historyBegunAt) return;
    node.isFiltered = answer.filteredByAcl;
    const isNews = node.mirror.asOf.services > 0;
    const moved = node.mirror.learnServices(answer);
    if (isNews) this.#tell(name, moved, readers);
  }

  #takeChecks(
    name: NodeName,
    answer: Answer<readonly CheckRow[]>,
    begunAt: number,
    readers: readonly ResourceRef[] = [],
  ): void {
    const node = this.#nodes.get(name);
    if (node === undefined || begunAt < this.#historyBegunAt) return;
    const isNews = node.mirror.asOf.checks > 0;
    const moved = node.mirror.learnChecks(answer);
    if (isNews) this.#tell(name, moved, readers);
  }

  /** A node may have thousands of instances, and all that look at one of them at the same time are served by one read. */
  async #readTogether(
    name: NodeName,
    signal: AbortSignal,
    reader: ResourceRef | undefined,
  ): Promise<Tracked> {
    const node = this.#nodes.get(name);
    const under = node?.reading;
    const reading = under !== undefined && under.begunAt > (node?.doubtedAt ?? 0) ? under : this.#begin(name);
    if (reader !== undefined) reading.readers.push(reader);
    const read = await Promise.race([reading.done, untilAborted(signal)]);
    if (read === undefined) throw new AbortedError('aborted', signal.reason);
    return read;
  }

  #begin(name: NodeName): Reading {
    const readers: ResourceRef[] = [];
    const done = this.#read(name, readers);
    const reading: Reading = { begunAt: this.#moment, readers, done };
    const node = this.#nodes.get(name);
    if (node === undefined) return reading;
    node.reading = reading;
    const end = (): void => {
      if (node.reading === reading) node.reading = undefined;
    };
    void done.then(end, end);
    return reading;
  }

  /** Reads the node consistently. @returns what was read, for a node that nobody tracks. */
  async #read(name: NodeName, readers: readonly ResourceRef[] = []): Promise<Tracked> {
    const { nodes } = this.#options.consul;
    const begunAt = ++this.#moment;
    const highest = this.#nodes.get(name)?.mirror.highest ?? { services: 0, checks: 0 };
    const [services, checks] = await Promise.all([
      nodes.services(name, this.#consistently),
      nodes.checks(name, this.#consistently),
    ]);
    const isOfNow = begunAt >= this.#historyBegunAt;
    if (isOfNow && (services.index < highest.services || checks.index < highest.checks)) {
      await this.#lostHistory();
      return await this.#read(name, readers);
    }
    const node = this.#nodes.get(name);
    if (node === undefined) return detached(services, checks);
    this.#takeServices(name, services, begunAt, readers);
    this.#takeChecks(name, checks, begunAt, readers);
    if (isOfNow) node.readAt = Math.max(node.readAt, begunAt);
    return node;
  }

  async #sweepForEver(): Promise<void> {
    const { signal, clock, random } = this.#options;
    let tookMs = 0;
    while (!signal.aborted) {
      await pause(clock, Math.max(SWEEP_MS * (0.9 + 0.2 * random()), tookMs * PAUSE_PER_SWEEP), signal);
      if (signal.aborted) return;
      const begunAtMs = clock.monotonic();
      await this.#sweep().catch(this.#say('sweep'));
      tookMs = clock.monotonic() - begunAtMs;
    }
  }

  async #sweep(): Promise<void> {
    const names = this.#tracked.nodes();
    const virtual = names.filter(name => this.#isVirtual(name));
    await this.#eachNode(virtual, name => this.#sweepVirtual(name));
    const others = names.filter(name => !this.#isVirtual(name));
    if (others.length === 0) return;
    const { services, checks } = await this.#options.consul.nodes.catalogIndexes(this.#consistently);
    if (services === this.#swept.services && checks === this.#swept.checks) return;
    const before = this.#swept;
    await this.#eachNode(others, name => this.#read(name));
    // What was tracked meanwhile asks for another one.
    if (this.#swept === before) this.#swept = { services, checks };
  }

  /**
   * Its services are followed, unless Consul was restored or rebuilt in the moment between two blocking queries: the next
   * one would then wait for an index that the new history may not reach for long.
   */
  async #sweepVirtual(name: NodeName): Promise<void> {
    const node = this.#nodes.get(name);
    if (node === undefined) return;
    const { nodes } = this.#options.consul;
    const begunAt = ++this.#moment;
    const { highest, asOf } = node.mirror;
    const [existence, checks] = await Promise.all([
      nodes.exists(name, this.#consistently),
      nodes.checksIndex(name, this.#consistently),
    ]);
    if (begunAt < this.#historyBegunAt) return;
    if (existence.index < highest.services || checks < highest.checks) return await this.#lostHistory();
    this.#takeExistence(name, existence, begunAt);
    if (checks === asOf.checks) return;
    const readAt = ++this.#moment;
    this.#takeChecks(name, await nodes.checks(name, this.#consistently), readAt);
  }

  get #consistently() {
    return { signal: this.#options.signal, consistency: 'consistent' } as const;
  }

  async #eachNode(names: readonly NodeName[], run: (name: NodeName) => Promise<unknown>): Promise<void> {
    const rest = [...names];
    const worker = async (): Promise<void> => {
      for (let name = rest.shift(); name !== undefined; name = rest.shift()) await run(name);
    };
    await Promise.all(Array.from({ length: NODES_AT_ONCE }, worker));
  }

  /** No index means what it did: all is read anew, and everybody is told. */
  async #lostHistory(): Promise<void> {
    this.#loseHistory();
    await this.#options.onIndexFell().catch(this.#say('history'));
    const refs = this.#tracked.all();
    if (refs.length > 0) this.#listener(refs);
  }

  #loseHistory(): void {
    this.#historyBegunAt = ++this.#moment;
    this.#swept = { services: -1, checks: -1 };
    for (const [name, { loop }] of this.#nodes) {
      loop?.abort();
      this.#nodes.set(name, this.#newlyTracked());
    }
    this.#syncLoops();
  }

  #tell(name: NodeName, moved: Moved, readers: readonly ResourceRef[]): void {
    const refs = this.#tracked.trackersOf(name, moved, readers);
    if (refs.length > 0) this.#listener(refs);
  }

  #say(what: string): (error: unknown) => void {
    return error => {
      const { signal, logger } = this.#options;
      if (!signal.aborted) logger.debug({ node: what, err: error }, 'watch of Consul interrupted');
    };
  }
}

/** Another text for whatever comes, moves or goes: rows that move have higher indexes than all before. */
function contentOf({ node, services }: NodeServices): string {
  const highest = services.reduce((most, { modifyIndex }) => Math.max(most, modifyIndex), 0);
  return `${node?.modifyIndex} ${services.length} ${highest}`;
}

function viewOf({ mirror, isFiltered }: Tracked): NodeView {
  return {
    node: mirror.node,
    isWhole: !isFiltered,
    get isEmpty() {
      return mirror.isEmpty;
    },
    service: id => mirror.service(id),
    services: () => mirror.services(),
    checksOf: id => mirror.checksOf(id),
    check: id => mirror.check(id),
  };
}

function detached(services: Answer<NodeServices>, checks: Answer<readonly CheckRow[]>): Tracked {
  const mirror = new NodeMirror();
  mirror.learnServices(services);
  mirror.learnChecks(checks);
  const isFiltered = services.filteredByAcl || checks.filteredByAcl;
  return { mirror, isFiltered, doubtedAt: 0, readAt: 0, reading: undefined, loop: undefined };
}

function take(
  mirror: NodeMirror,
  operation: CatalogOperation,
  indexes: ReadonlyMap<string, ModifyIndex>,
): void {
  switch (operation.verb) {
    case 'node-create': {
      const { node, address, meta } = operation.node;
      const modifyIndex = indexes.get(nodePlace(node));
      if (modifyIndex !== undefined) mirror.wroteNode({ node, address, meta, id: '', modifyIndex });
      return;
    }
    case 'service-cas': {
      const { node, service } = operation;
      const modifyIndex = indexes.get(servicePlace(node, service.id));
      if (modifyIndex !== undefined) mirror.wroteService({ service, kind: '', modifyIndex });
      return;
    }
    case 'check-cas': {
      const { node, check, result } = operation;
      const modifyIndex = indexes.get(checkPlace(node, check.id));
      const { id, serviceId } = check;
      if (modifyIndex !== undefined) mirror.wroteCheck({ id, serviceId, check, ...result, modifyIndex });
      return;
    }
    case 'service-delete-cas':
      return mirror.deletedService(operation.id, operation.index);
    case 'check-delete-cas':
      return mirror.deletedCheck(operation.id, operation.index);
    case 'service-get':
  }
}
