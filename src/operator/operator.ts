import { context } from '@opentelemetry/api';
import { parseConsulKV } from '../api/v1alpha1/consulkv.ts';
import { ANNOTATION_RECONCILE_AT, type CommonStatus, FINALIZER } from '../api/v1alpha1/common.ts';
import { STALLING_REASONS } from '../api/v1alpha1/reasons.ts';
import { GroupCommit } from '../commit/group-commit.ts';
import { createSoleTenure } from '../commit/sole-tenure.ts';
import { WriteGate } from '../commit/write-gate.ts';
import type { Config } from '../config/config.ts';
import { type ConsulClient, createConsulClient } from '../consul/client.ts';
import type { Clock, Random } from '../core/clock.ts';
import { messageOf, RetryableError } from '../core/errors.ts';
import { pause } from '../core/pause.ts';
import { resourceKey, type ResourceRef } from '../core/resource.ts';
import { createEventRecorder, type KubeClient, type KubeObject, Store } from '../kube/index.ts';
import { Fingerprinter } from '../ownership/fingerprint.ts';
import { Ledger } from '../ownership/ledger.ts';
import { LedgerSync } from '../ownership/ledger-sync.ts';
import { Removals } from '../ownership/removals.ts';
import { sourceRefs } from '../reconcilers/kv/desire.ts';
import { ConsulKVKind } from '../reconcilers/kv/index.ts';
import { KeyMirror } from '../reconcilers/kv/mirror.ts';
import { KeyWatcher } from '../reconcilers/kv/key-watcher.ts';
import { SourceReader } from '../reconcilers/kv/sources.ts';
import type { Ending } from '../runtime/ending.ts';
import { PRIORITY, type Priority, WorkQueue } from '../runtime/queue.ts';
import { OUTAGE_GRACE_MS } from '../runtime/settle.ts';
import { createTurn } from '../runtime/turn.ts';
import { runWorkers, type TurnResult, type Workers } from '../runtime/workers.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ConditionCount, Metrics } from '../telemetry/metrics.ts';
import type { Checks } from '../telemetry/probes.ts';
import { withReconcileSpan, withTransactionSpan } from '../telemetry/tracing.ts';
import { consulOptions } from './consul-options.ts';
import { HeldRemovalsWatch } from './held-removals.ts';
import { CONSUL_KVS } from './kinds.ts';
import { Knowledge } from './knowledge.ts';
import { KubeObjects } from './objects.ts';
import { CONFIG_MAPS, KubeSourceCatalog, SECRETS } from './source-catalog.ts';
import { isListed, openWatches, type WatchContext, watchProblem } from './watches.ts';

const KIND = 'ConsulKV';
const CONTROLLER = 'consulkv';
const CONCURRENT_TURNS = 128;
/** A turn that has not ended by then is a defect that a restart may help. */
const STUCK_MS = 180_000;

export interface OperatorOptions {
  readonly config: Config;
  readonly installId: string;
  readonly namespace: string;
  readonly instance: string;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** The running operator, as the process sees it. */
export interface Operator {
  readonly liveness: Checks;
  readonly readiness: Checks;
  stopIntake(): void;
  drain(signal: AbortSignal): Promise<void>;
  abort(signal: AbortSignal): Promise<void>;
  flush(signal: AbortSignal): Promise<void>;
}

/** Puts the operator together and starts it. It works whatever is missing, and says in its probes what is. */
export function startOperator(options: OperatorOptions): Operator {
  const { config, installId, client, clock, random, logger, metrics } = options;
  const stopping = new AbortController();
  const { signal } = stopping;

  // Consul: one client, one choke point.
  const consul = createConsulClient({
    ...consulOptions(config),
    clock,
    onRequest: ({ method, template, status, error, durationMs, blocking }) =>
      metrics.consulRequest({ method, template, status: status ?? error ?? 'unknown', durationMs, blocking }),
  });
  const queue = new WorkQueue({ clock, random, metrics: metrics.queue(CONTROLLER) });
  let workers: Workers | undefined;
  const commits = new GroupCommit({
    txn: consul.txn,
    clock,
    othersRunnable: waiting => (workers?.activeCount ?? 0) + (workers?.startableCount ?? 0) > waiting,
    onTransaction: metrics.transaction,
    context: () => context.active(),
    inSpan: withTransactionSpan,
  });
  queue.onChange(() => commits.nudge());
  const tenure = createSoleTenure();
  const gate = new WriteGate({ installId, dryRun: config.dryRun, commits, tenure: () => tenure });

  // What is known of Consul.
  const fingerprinter = new Fingerprinter();
  const ledger = new Ledger();
  const mirror = new KeyMirror(fingerprinter);
  const reset = (): void => knowledge.reset();
  const look = (refs: Iterable<ResourceRef>, priority: Priority = PRIORITY.specChange): void => {
    for (const ref of refs) queue.add(resourceKey(ref), { priority });
  };
  const following = { consul, clock, random, logger, signal, onReset: reset };
  const watcher = new KeyWatcher({ ...following, mirror });
  const ledgerSync = new LedgerSync({
    ...following,
    ledger,
    installId,
    highestIndex: () => mirror.highestIndex,
    onTampered: ref => {
      ledger.mistrust(ref);
      look([ref]);
    },
  });
  mirror.onChange(refs => look(refs));
  // Whoever let go is at it already and needs no turn for its own doing.
  ledger.onRelease((names, by) => {
    const self = by && resourceKey(by);
    look(watcher.concernedBy(names).filter(ref => resourceKey(ref) !== self));
  });

  // What is known of Kubernetes.
  const events = createEventRecorder({
    client,
    clock,
    instance: options.instance,
    onDropped: metrics.eventDropped,
  });
  const watching: WatchContext = { client, clock, random, logger, metrics };
  const wakeReferrers = (kind: 'ConfigMap' | 'Secret') => ({
    onUpsert: (object: KubeObject) => look(referrers(resources, kind, object)),
    onDelete: (object: KubeObject) => look(referrers(resources, kind, object)),
    onError: reportDefect(logger),
  });
  const resources = new Store({
    indexes: { source: sourcesOf },
    handlers: {
      onUpsert(object, previous, { initial }) {
        const ref = refOf(object);
        removals.sawPresent(ref);
        const priority = priorityOf(object, previous, initial);
        if (priority !== undefined) look([ref], priority);
      },
      onDelete(object, { inferred }) {
        const ref = refOf(object);
        if (!inferred) removals.sawDeleted(ref);
        look([ref], PRIORITY.deletion);
      },
      onError: reportDefect(logger),
    },
  });
  const configMaps = new Store({ transform: identityOnly, handlers: wakeReferrers('ConfigMap') });
  const secrets = new Store({ transform: identityOnly, handlers: wakeReferrers('Secret') });
  const removals: Removals = new Removals({
    ledger,
    exists: ({ namespace, name }) => resources.get(namespace, name) !== undefined,
    isAbsenceKnown: ({ kind, namespace }) => kind === KIND && isListed(kvWatches, namespace),
  });
  const kvWatches = openWatches(watching, CONSUL_KVS, resources, config.namespaces);
  const configMapWatches = openWatches(watching, CONFIG_MAPS, configMaps, config.namespaces, true);
  const secretScope = narrower(config.secretNamespaces, config.namespaces);
  const secretWatches = openWatches(watching, SECRETS, secrets, secretScope, true);
  const catalog = new KubeSourceCatalog(client, {
    ConfigMap: { store: configMaps, scope: config.namespaces, reflectors: configMapWatches },
    Secret: { store: secrets, scope: secretScope, reflectors: secretWatches },
  });

  const held = new HeldRemovalsWatch({
    client,
    removals,
    events,
    clock,
    logger,
    signal,
    namespace: options.namespace,
    installId,
    onHeld: count => metrics.removalsHeld(count),
    onConfirmed: () => look(removals.orphans(), PRIORITY.deletion),
  });

  const lookAtAll = (): void => {
    for (const object of resources.values()) look([refOf(object)], PRIORITY.resync);
    look(removals.orphans(), PRIORITY.resync);
  };
  const knowledge: Knowledge = new Knowledge({
    consul,
    gate,
    installId,
    datacenter: config.consul.datacenter,
    fingerprinter,
    ledger,
    ledgerSync,
    watcher,
    clock,
    random,
    logger,
    signal,
    onLoaded: lookAtAll,
  });
  const outages = followOutages(consul, clock, lookAtAll);
  const consulAway = () => knowledge.missing ?? outages.away();

  // The reconciler.
  const kind = new ConsulKVKind({
    installId,
    consul,
    gate,
    ledger,
    ledgerSync,
    mirror,
    watcher,
    fingerprinter,
    sources: new SourceReader(catalog),
    datacenter: () => knowledge.datacenter,
  });
  const reconciles = metrics.controller(CONTROLLER, {
    workers: CONCURRENT_TURNS,
    monotonic: () => clock.monotonic(),
  });
  let turns = 0;
  const turn = createTurn({
    kind,
    objects: new KubeObjects({ client, type: CONSUL_KVS, store: resources, events }),
    clock,
    logger,
    consulAway,
    mayRemove: ref => removals.mayRemove(ref),
    span: (object, ref, run) => {
      const { generation = 0, annotations } = object?.metadata ?? {};
      return withReconcileSpan({ ref, generation, turn: String(++turns), annotations }, run);
    },
    observe: () => {
      const end = reconciles.start();
      return {
        settled: (ending, next) => {
          const corrected = ending.kind === 'converged' ? (ending.applied?.corrected ?? 0) : 0;
          if (corrected > 0) reconciles.driftCorrected(corrected);
          end(countedAs(ending, next));
        },
        aborted: () => end({ result: 'aborted' }),
        panicked: () => end({ result: 'error', failure: 'panic' }),
      };
    },
  });
  metrics.queueProgress(CONTROLLER, queue);
  metrics.conditions(() => countConditions(resources));

  void start();
  async function start(): Promise<void> {
    const watches = [...kvWatches.values(), ...configMapWatches.values(), ...secretWatches.values()];
    await Promise.all(watches.map(({ settled }) => settled));
    const known = knowledge.load();
    // Nothing can be planned before Consul has been read, but after a while users should hear that it cannot be.
    await Promise.race([known, pause(clock, OUTAGE_GRACE_MS, signal)]);
    if (signal.aborted) return;
    workers = startWorkers();
    await known;
    if (signal.aborted) return;
    watcher.follow();
    await ledgerSync.follow();
  }

  function startWorkers(): Workers {
    return runWorkers({
      queue,
      turn,
      clock,
      signal,
      concurrency: CONCURRENT_TURNS,
      observer: {
        panicked: (key, thrown) => logger.error({ key, err: thrown }, 'a reconcile threw, which is a defect'),
        timedOut: key => logger.warn({ key }, 'a reconcile passed its deadline'),
        stuck: (key, runningMs) => logger.error({ key, durationMs: runningMs }, 'a reconcile does not end'),
        activeChanged: () => commits.nudge(),
      },
    });
  }

  return {
    liveness: {
      'stuck-reconcile': () => (queue.longestRunningMs > STUCK_MS ? 'a reconcile does not end' : undefined),
    },
    readiness: {
      'kubernetes-watches': () => watchProblem(kvWatches) ?? watchProblem(configMapWatches),
      consul: () => {
        const away = consulAway();
        return away === undefined ? undefined : messageOf(away.error);
      },
      'held-removals': () => held.problem,
    },
    stopIntake: () => workers?.stop(),
    async drain(budget) {
      await workers?.drain(budget);
    },
    async abort(budget) {
      stopping.abort();
      await workers?.drain(budget);
    },
    flush: budget => events.flush(budget),
  };
}

function refOf({ metadata: { namespace = '', name } }: KubeObject): ResourceRef {
  return { kind: KIND, namespace, name };
}

/** Whether a change of an object asks for a turn: its status is ours and never does. */
function priorityOf(
  object: KubeObject,
  previous: KubeObject | undefined,
  initial: boolean,
): Priority | undefined {
  const now = object.metadata;
  if (now.deletionTimestamp !== undefined && previous?.metadata.deletionTimestamp === undefined)
    return PRIORITY.deletion;
  if (initial) return PRIORITY.resync;
  const before = previous?.metadata;
  const asked = before?.annotations?.[ANNOTATION_RECONCILE_AT] !== now.annotations?.[ANNOTATION_RECONCILE_AT];
  const lostFinalizer = before?.finalizers?.includes(FINALIZER) && !now.finalizers?.includes(FINALIZER);
  if (before === undefined || before.uid !== now.uid || before.generation !== now.generation || asked)
    return PRIORITY.specChange;
  return lostFinalizer ? PRIORITY.resync : undefined;
}

/** `ConfigMap/shop/orders`: what a resource reads, for the index that finds it again. */
function sourcesOf(object: KubeObject): readonly string[] {
  const parsed = parseConsulKV(object);
  if (!parsed.ok) return [];
  const { namespace } = parsed.value.metadata;
  return sourceRefs(parsed.value.spec).map(({ kind, name }) => `${kind}/${namespace}/${name}`);
}

function referrers(resources: Store, kind: 'ConfigMap' | 'Secret', { metadata }: KubeObject): ResourceRef[] {
  return resources.byIndex('source', `${kind}/${metadata.namespace}/${metadata.name}`).map(refOf);
}

/** Secrets are read where both settings allow it. */
function narrower(
  secretScope: Config['secretNamespaces'],
  scope: Config['namespaces'],
): Config['namespaces'] {
  if (secretScope === 'all') return scope;
  return scope === 'all' ? secretScope : secretScope.filter(namespace => scope.includes(namespace));
}

function reportDefect(logger: Logger) {
  return (error: unknown, { metadata }: KubeObject): void =>
    logger.error(
      { namespace: metadata.namespace, name: metadata.name, err: error },
      'a watch handler threw, which is a defect',
    );
}

function countedAs(ending: Ending, next: TurnResult): TurnCount {
  if (ending.kind === 'refused' && STALLING_REASONS.has(ending.reason))
    return { result: 'error', failure: 'terminal' };
  if (next.kind === 'retry') return { result: 'error', failure: 'error' };
  return { result: next.kind === 'requeue' ? 'requeue_after' : 'success' };
}

interface TurnCount {
  readonly result: 'success' | 'error' | 'requeue_after';
  readonly failure?: 'error' | 'terminal';
}

/** How many resources stand how, for alerts: never a label for a single one. */
function* countConditions(resources: Store): Generator<ConditionCount> {
  const counts = new Map<string, ConditionCount>();
  for (const { status } of resources.values()) {
    for (const { type, status: value, reason } of (status as CommonStatus | undefined)?.conditions ?? []) {
      const id = `${type}/${value}/${reason}`;
      const count = (counts.get(id)?.count ?? 0) + 1;
      counts.set(id, { controller: CONTROLLER, type, status: value, reason, count });
    }
  }
  yield* counts.values();
}

/** Of a ConfigMap or Secret only that it exists, and in which version: its labels and annotations are not ours. */
function identityOnly({ metadata: { name, namespace, uid, resourceVersion } }: KubeObject): KubeObject {
  return { metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid, resourceVersion } };
}

interface Outages {
  away(): { readonly error: RetryableError; readonly forMs: number } | undefined;
}

/** An outage longer than an election concerns every resource, when it begins to and when it is over. */
function followOutages(consul: ConsulClient, clock: Clock, lookAtAll: () => void): Outages {
  let announced = false;
  let cancel = (): void => {};
  consul.health.subscribe(({ reachable }) => {
    cancel();
    if (reachable) {
      if (announced) lookAtAll();
      announced = false;
      return;
    }
    cancel = clock.after(OUTAGE_GRACE_MS, () => {
      announced = true;
      lookAtAll();
    });
  });
  return {
    away() {
      const { reachable, since, lastError } = consul.health;
      const forMs = clock.monotonic() - since;
      if (reachable || forMs < OUTAGE_GRACE_MS) return undefined;
      const error =
        lastError instanceof RetryableError
          ? lastError
          : new RetryableError('Consul cannot be reached', {
              code: 'CONSUL_UNREACHABLE',
              reason: 'ConsulUnreachable',
            });
      return { error, forMs };
    },
  };
}
