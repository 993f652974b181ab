import { context } from '@opentelemetry/api';
import { GroupCommit } from '../commit/group-commit.ts';
import { createSoleTenure } from '../commit/sole-tenure.ts';
import { WriteGate } from '../commit/write-gate.ts';
import type { Config } from '../config/config.ts';
import { createConsulClient } from '../consul/client.ts';
import type { Clock, Random } from '../core/clock.ts';
import { messageOf } from '../core/errors.ts';
import { pause } from '../core/pause.ts';
import { resourceKey, type ResourceRef } from '../core/resource.ts';
import { createEventRecorder, type KubeClient } from '../kube/index.ts';
import { Fingerprinter } from '../ownership/fingerprint.ts';
import { Ledger } from '../ownership/ledger.ts';
import { LedgerSync } from '../ownership/ledger-sync.ts';
import { Removals } from '../ownership/removals.ts';
import { ConsulKVKind } from '../reconcilers/kv/index.ts';
import { KeyMirror } from '../reconcilers/kv/mirror.ts';
import { KeyWatcher } from '../reconcilers/kv/key-watcher.ts';
import { SourceReader } from '../reconcilers/kv/sources.ts';
import { PRIORITY, type Priority, WorkQueue } from '../runtime/queue.ts';
import { OUTAGE_GRACE_MS } from '../runtime/settle.ts';
import { createTurn } from '../runtime/turn.ts';
import { runWorkers, type Workers } from '../runtime/workers.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Checks } from '../telemetry/probes.ts';
import { withReconcileSpan, withTransactionSpan } from '../telemetry/tracing.ts';
import { type Cluster, watchCluster } from './cluster.ts';
import { consulOptions } from './consul-options.ts';
import { HeldRemovalsWatch } from './held-removals.ts';
import { CONSUL_KVS } from './kinds.ts';
import { Knowledge } from './knowledge.ts';
import { KubeObjects } from './objects.ts';
import { Outages } from './outages.ts';
import { priorityOf, refOf } from './triggers.ts';
import { countConditions, countTurn } from './turn-metrics.ts';

const CONTROLLER = 'consulkv';
const CONCURRENT_TURNS = 128;
/** Events are best effort: those not sent by then are dropped, within the step's budget, and the exit stays clean. */
const FLUSH_EVENTS_MS = 700;
/** A turn that has not ended by then is a defect that a restart may help. */
const STUCK_MS = 180_000;

export interface OperatorOptions {
  readonly config: Config;
  readonly installId: string;
  /** The operator's own: where its Lease lives. */
  readonly namespace: string;
  /** Pod or host name. */
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
  const { config, installId, namespace, instance, client, clock, random, logger, metrics } = options;
  const stopping = new AbortController();
  const { signal } = stopping;

  // What asks for turns, and what gathers their writes.
  const queue = new WorkQueue({ clock, random, metrics: metrics.queue(CONTROLLER) });
  const look = (refs: Iterable<ResourceRef>, priority: Priority = PRIORITY.specChange): void => {
    for (const ref of refs) queue.add(resourceKey(ref), { priority });
  };
  let workers: Workers | undefined;
  const consul = createConsulClient({
    ...consulOptions(config),
    clock,
    onRequest: ({ status, error, ...sample }) =>
      metrics.consulRequest({ ...sample, status: status ?? error ?? 'unknown' }),
  });
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

  // What is known of Consul: who owns what, and what stands at owned keys.
  const fingerprinter = new Fingerprinter();
  const ledger = new Ledger();
  const mirror = new KeyMirror(fingerprinter);
  const following = { consul, clock, random, logger, signal, onReset: () => knowledge.reset() };
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
  const events = createEventRecorder({ client, clock, instance, onDropped: metrics.eventDropped });
  const cluster: Cluster = watchCluster({
    config,
    client,
    clock,
    random,
    logger,
    metrics,
    onSourceChange: look,
    handlers: {
      onUpsert(object, previous, { initial }) {
        removals.sawPresent(refOf(object));
        const priority = priorityOf(object, previous, initial);
        if (priority !== undefined) look([refOf(object)], priority);
      },
      onDelete(object, { inferred }) {
        if (!inferred) removals.sawDeleted(refOf(object));
        look([refOf(object)], PRIORITY.deletion);
      },
    },
  });
  const { resources } = cluster;
  const removals: Removals = new Removals({
    ledger,
    exists: ref => resources.get(ref.namespace, ref.name) !== undefined,
    isAbsenceKnown: ref => ref.kind === CONSUL_KVS.kind && cluster.isListed(ref.namespace),
  });
  const held = new HeldRemovalsWatch({
    client,
    removals,
    events,
    clock,
    logger,
    signal,
    namespace,
    installId,
    onHeld: count => metrics.removalsHeld(count),
    onConfirmed: () => look(removals.orphans(), PRIORITY.deletion),
  });

  // Both together: when to look at everything, and when looking is no use.
  const lookAtAll = (): void => {
    for (const object of resources.values()) look([refOf(object)], PRIORITY.resync);
    look(removals.orphans(), PRIORITY.resync);
  };
  const { datacenter } = config.consul;
  const knowledge: Knowledge = new Knowledge({
    ...following,
    gate,
    installId,
    datacenter,
    fingerprinter,
    ledger,
    ledgerSync,
    watcher,
    onLoaded: lookAtAll,
  });
  const outages = new Outages(consul.health, clock, lookAtAll);
  const consulAway = () => knowledge.missing ?? outages.away();

  // The reconciler.
  const reconciles = metrics.controller(CONTROLLER, {
    workers: CONCURRENT_TURNS,
    monotonic: () => clock.monotonic(),
  });
  let turns = 0;
  const turn = createTurn({
    kind: new ConsulKVKind({
      installId,
      consul,
      gate,
      ledger,
      ledgerSync,
      mirror,
      watcher,
      fingerprinter,
      sources: new SourceReader(cluster.catalog),
      datacenter: () => knowledge.datacenter,
    }),
    objects: new KubeObjects({ client, type: CONSUL_KVS, store: resources, events }),
    clock,
    logger,
    consulAway,
    mayRemove: ref => removals.mayRemove(ref),
    span: (object, ref, run) => {
      const { generation = 0, annotations } = object?.metadata ?? {};
      return withReconcileSpan({ ref, generation, turn: String(++turns), annotations }, run);
    },
    observe: () => countTurn(reconciles),
  });
  metrics.queueProgress(CONTROLLER, queue);
  metrics.conditions(() => countConditions(CONTROLLER, resources));
  void run();

  async function run(): Promise<void> {
    await cluster.settled;
    const known = knowledge.load();
    // Nothing can be planned before Consul has been read, but after a while users should hear that it cannot be.
    await Promise.race([known, pause(clock, OUTAGE_GRACE_MS, signal)]);
    if (signal.aborted) return;
    workers = startWorkers();
    await known;
    if (signal.aborted) return;
    watcher.follow();
    // Records without a resource can only be told once the resources are known.
    void cluster.listed.then(() => look(removals.orphans(), PRIORITY.resync));
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
      'kubernetes-watches': () => cluster.problem(),
      consul: () => {
        const away = consulAway();
        return away === undefined ? undefined : messageOf(away.error);
      },
      'held-removals': () => held.notice,
    },
    stopIntake: () => workers?.stop(),
    async drain(budget) {
      await workers?.drain(budget);
    },
    async abort(budget) {
      stopping.abort();
      await workers?.drain(budget);
    },
    async flush(budget) {
      const enough = new AbortController();
      const cancel = clock.after(FLUSH_EVENTS_MS, () => enough.abort());
      await events.flush(AbortSignal.any([budget, enough.signal]));
      cancel();
    },
  };
}
