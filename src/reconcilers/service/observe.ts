import { type ConsulServiceSpec, type ConsulServiceStatus } from '../../api/v1alpha1/consulservice.ts';
import { hasAgent, virtualNodeOf } from '../../commit/catalog-nodes.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import type { NodeName, ServiceId } from '../../consul/service-ids.ts';
import type { Clock } from '../../core/clock.ts';
import { RetryableError } from '../../core/errors.ts';
import { instanceName, parseInstanceName } from '../../core/instance-names.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { NodeView, ServiceMirror } from '../../mirror/service-mirror.ts';
import { catalogInstances } from '../../mirror/tracked-instances.ts';
import type { Fingerprinter } from '../../ownership/fingerprint.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import type { LedgerSync } from '../../ownership/ledger-sync.ts';
import { isWritten, listedNames, type OwnerRecord } from '../../ownership/record.ts';
import type { Subject } from '../../runtime/kind.ts';
import { tendedEndpoints, tendedUnread } from './as-it-stands.ts';
import type { ServiceCluster } from './cluster.ts';
import { REGION_META } from './declared.ts';
import { desireService, type ServiceDesire } from './desire.ts';
import type { KubernetesSource } from './endpoints.ts';
import type { HealthBook } from './health-book.ts';
import { inParallel } from './in-parallel.ts';
import type { Tended } from './plan.ts';
import { checksToRun } from './running-checks.ts';
import type { SeenInstance, SeenNode, ServiceFacts, ServiceWish } from './types.ts';

export type ServiceSubject = Subject<ConsulServiceSpec, ConsulServiceStatus>;

/** What one look gave. */
export interface ServiceObservation {
  /** Undefined: it is being deleted, or cannot be read. */
  readonly desire: ServiceDesire | Unread | undefined;
  /** What can be told where that is no wish; undefined too while it is being deleted. */
  readonly tended: Tended | undefined;
  readonly facts: ServiceFacts;
  /** Ends the turn that looked. */
  readonly signal: AbortSignal;
}

/** What the API server has of `spec.kubernetes` could not be read. */
export interface Unread {
  readonly kind: 'unread';
  readonly error: RetryableError;
}

export interface LookOptions {
  /** Read everything from Consul, consistently, whatever is remembered. */
  readonly fresh: boolean;
  /** Our own transaction has just said that there is no record any more. */
  readonly removedJustNow: boolean;
  readonly signal: AbortSignal;
}

export interface ServiceObserverOptions {
  readonly installId: string;
  readonly gate: WriteGate;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  readonly serviceMirror: ServiceMirror;
  readonly fingerprinter: Fingerprinter;
  readonly cluster: ServiceCluster;
  readonly health: HealthBook;
  readonly clock: Clock;
}

/** Nodes are read for so many at once: a resource may name hundreds. */
const NODES_AT_ONCE = 4;

type Views = ReadonlyMap<NodeName, NodeView>;

/** Finds out what must be known before planning, and has the checks run of what stands. */
export class ServiceObserver {
  readonly #options: ServiceObserverOptions;

  constructor(options: ServiceObserverOptions) {
    this.#options = options;
  }

  /** @throws RetryableError when Consul does not answer, or does not show all that is asked for. */
  async observe(subject: ServiceSubject, options: LookOptions): Promise<ServiceObservation> {
    const { ref } = subject;
    const source = await this.#source(subject, options.signal);
    const named = this.#desire(subject, source);
    const { instances } = named?.kind === 'desired' ? named.wish : NO_WISH;
    const record = await this.#options.ledgerSync.currentRecord(ref, {
      ...options,
      deleting: subject.deleting,
    });
    const listed = record === undefined ? new Map<string, string>() : listedNames(record);
    const names = new Set([...listed.keys(), ...instances.keys()]);
    const views = await this.#look(ref, names, options);
    const seen = snapshot(names, views);
    assertShown(listed, seen, views);
    const desire = this.#withRegions(subject, source, seen) ?? named;
    const wish = desire?.kind === 'desired' ? desire.wish : undefined;
    await this.#refreshClaims(wish, listed, seen);
    const facts = this.#facts(ref, record, seen, views);
    const tended = wish === undefined ? this.#tended(subject, desire, facts) : undefined;
    this.#runChecks(subject, wish ?? (desire && tended?.wish), facts);
    return { desire, tended, facts, signal: options.signal };
  }

  async #source({ resource, deleting }: ServiceSubject, signal: AbortSignal): Promise<Source> {
    const service = resource?.spec.kubernetes?.service;
    if (resource === undefined || deleting || service === undefined) return undefined;
    const { namespace } = resource.metadata;
    return await this.#options.cluster.source({ namespace, service }, signal).catch(unread);
  }

  #desire({ resource, deleting }: ServiceSubject, source: Source): ServiceObservation['desire'] {
    if (resource === undefined || deleting) return undefined;
    if (source !== undefined && 'error' in source) return source;
    const { installId, fingerprinter } = this.#options;
    return desireService({ resource, installId, endpoints: source, fingerprinter });
  }

  /** Undefined: regions are known. A region that is not known at the moment is no reason to write an endpoint anew. */
  #withRegions(
    subject: ServiceSubject,
    source: Source,
    seen: ReadonlyMap<string, SeenInstance>,
  ): ServiceObservation['desire'] {
    const { cluster, installId } = this.#options;
    if (cluster.areRegionsKnown !== false || source === undefined || 'error' in source) return undefined;
    const regionLastKnown = (id: ServiceId): string | undefined => {
      const name = instanceName({ kind: 'catalog', node: virtualNodeOf(installId, id), id });
      return seen.get(name)?.row.service.meta.get(REGION_META);
    };
    return this.#desire(subject, { ...source, regionLastKnown });
  }

  #tended(
    { ref, resource, deleting }: ServiceSubject,
    desire: ServiceObservation['desire'],
    facts: ServiceFacts,
  ): Tended | undefined {
    if (deleting) return undefined;
    const { installId, fingerprinter } = this.#options;
    const tending = { ref, facts, installId, fingerprinter };
    if (resource === undefined || desire === undefined) return tendedUnread(tending);
    return tendedEndpoints(resource, 'present' in desire ? desire.present : undefined, tending);
  }

  /** Each node is read once, if it has to be read at all. */
  async #look(ref: ResourceRef, names: Iterable<string>, { fresh, signal }: LookOptions): Promise<Views> {
    const { serviceMirror } = this.#options;
    const instances = catalogInstances(names);
    serviceMirror.track(ref, instances);
    const nodes = new Set(instances.map(({ node }) => node));
    const views = new Map<NodeName, NodeView>();
    await inParallel(nodes, NODES_AT_ONCE, async node => {
      views.set(node, await serviceMirror.current(node, { fresh, signal, reader: ref }));
    });
    return views;
  }

  #facts(
    ref: ResourceRef,
    record: OwnerRecord | undefined,
    seen: ReadonlyMap<string, SeenInstance>,
    views: Views,
  ): ServiceFacts {
    const { ledger, health, clock } = this.#options;
    const nodes = new Map([...views].map(([name, view]) => [name, seenNode(view)]));
    return {
      record,
      seen: name => seen.get(name),
      node: name => nodes.get(name),
      rival: name => ledger.rivalFor(name, ref),
      claims: ledger.claims,
      health,
      nowMs: clock.now(),
    };
  }

  /** Something stands where nothing of ours should: whose it is must be known as of the time it was written. */
  async #refreshClaims(
    wish: ServiceWish | undefined,
    listed: ReadonlyMap<string, string>,
    seen: ReadonlyMap<string, SeenInstance>,
  ): Promise<void> {
    const { ledger, ledgerSync } = this.#options;
    let newest = 0;
    for (const name of wish?.instances.keys() ?? []) {
      if (!isWritten(listed.get(name) ?? '')) newest = Math.max(newest, seen.get(name)?.row.modifyIndex ?? 0);
    }
    const { complete, asOf } = ledger.claims;
    const isMistrusted = complete && asOf < 0;
    if (newest > 0 || isMistrusted) await ledgerSync.refreshClaims(newest);
  }

  /** While the resource cannot be read they go on as before. A dry run writes no result, so it asks nobody. */
  #runChecks({ ref, deleting }: ServiceSubject, wish: ServiceWish | undefined, facts: ServiceFacts): void {
    const { health, gate, installId } = this.#options;
    if (gate.isDryRun) return;
    if (deleting) return health.forget(ref);
    if (wish === undefined) return;
    health.sync(ref, checksToRun(wish, facts, { installId, ref }));
  }
}

type Source = KubernetesSource | Unread | undefined;

const NO_WISH: Pick<ServiceWish, 'instances'> = { instances: new Map() };

function unread(error: unknown): Unread {
  if (error instanceof RetryableError) return { kind: 'unread', error };
  throw error;
}

/** What stands at this moment, so that the planner sees one world. */
function snapshot(names: Iterable<string>, views: Views): ReadonlyMap<string, SeenInstance> {
  const seen = new Map<string, SeenInstance>();
  for (const name of names) {
    const [instance] = catalogInstances([name]);
    const view = instance && views.get(instance.node);
    const row = instance && view?.service(instance.id);
    if (row !== undefined && view !== undefined)
      seen.set(name, { row, checks: view.checksOf(row.service.id) });
  }
  return seen;
}

function seenNode(view: NodeView): SeenNode | undefined {
  const { node } = view;
  if (node === undefined) return undefined;
  const checks = view.checksOf('');
  const isOfEsm = node.meta.has('external-node');
  return { hasAgent: hasAgent({ node, checks }), isOfEsm, checks, check: id => view.check(id) };
}

/** @throws RetryableError for what may stand and is not shown: to take it for gone would be ignorance. */
function assertShown(
  listed: ReadonlyMap<string, string>,
  seen: ReadonlyMap<string, SeenInstance>,
  views: Views,
): void {
  for (const [name, recorded] of listed) {
    const instance = parseInstanceName(name);
    const view = views.get(instance?.node as NodeName);
    if (instance === undefined || view === undefined || view.isWhole) continue;
    if (!isWritten(recorded) || seen.has(name)) continue;
    throw new RetryableError(
      `the ACL token does not show all that stands on the node ${instance.node}, so nobody knows whether ${instance.id} does: it needs node:read on it and service:read on every service there`,
      { code: 'CONSUL_DENIED', reason: 'ConsulDenied' },
    );
  }
}
