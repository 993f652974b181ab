import { randomUUID } from 'node:crypto';
import { context } from '@opentelemetry/api';
import { GroupCommit } from '../commit/group-commit.ts';
import type { Tenure } from '../commit/tenure.ts';
import { WriteGate } from '../commit/write-gate.ts';
import type { Config } from '../config/config.ts';
import { createConsulClient } from '../consul/client.ts';
import type { Clock, Random } from '../core/clock.ts';
import { AbortedError, messageOf, TerminalError } from '../core/errors.ts';
import { pause } from '../core/pause.ts';
import { resourceKey, type ResourceRef } from '../core/resource.ts';
import { createEventRecorder, type KubeClient, readClusterUid } from '../kube/index.ts';
import { Fingerprinter } from '../ownership/fingerprint.ts';
import { Ledger } from '../ownership/ledger.ts';
import { LedgerSync } from '../ownership/ledger-sync.ts';
import { Removals } from '../ownership/removals.ts';
import { KeyMirror } from '../mirror/key-mirror.ts';
import { KeyWatcher } from '../mirror/key-watcher.ts';
import { PRIORITY, type Priority } from '../runtime/queue.ts';
import { OUTAGE_GRACE_MS } from '../runtime/status.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Checks } from '../telemetry/probes.ts';
import { withTransactionSpan } from '../telemetry/tracing.ts';
import type { Base } from './base.ts';
import { consulOptions } from './consul-options.ts';
import { FinishingTurns } from './finishing-turns.ts';
import { HeldRemovalsWatch } from './held-removals.ts';
import { InstallLease } from './install-lease.ts';
import { Knowledge } from './knowledge.ts';
import { Lead } from './lead.ts';
import { OutageReporter } from './outage-reporter.ts';
import { Outages } from './outages.ts';
import { createOwnCandidate } from './own-election.ts';
import { serveConsulKV } from './serve-kv.ts';
import { countConditions } from './turn-metrics.ts';
import { Workforce } from './workforce.ts';

/** Events are best effort: those not sent by then are dropped, within the step's budget, and the exit stays clean. */
const FLUSH_EVENTS_MS = 700;
/** A turn that has not ended by then is a defect that a restart may help. */
const STUCK_MS = 180_000;
/** A leader with such a turn does not renew: every turn is aborted after 60 s, and given 10 s to end. */
const NO_PROGRESS_MS = 75_000;

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
  /** It cannot go on, and says why: the process should end. */
  readonly onFatal: (error: unknown) => void;
}

/** The running operator, as the process sees it. */
export interface Operator {
  readonly liveness: Checks;
  readonly readiness: Checks;
  stopIntake(): void;
  drain(signal: AbortSignal): Promise<void>;
  abort(signal: AbortSignal): Promise<void>;
  /** Lets the next leader in. Not before the last turn has ended. */
  releaseLock(signal: AbortSignal): Promise<void>;
  flush(signal: AbortSignal): Promise<void>;
}

/** Puts the operator together and starts it. It works whatever is missing, and says in its probes what is. */
export function startOperator(options: OperatorOptions): Operator {
  const { config, installId, namespace, instance, client, clock, random, logger, metrics, onFatal } = options;
  const identity = `${instance}_${randomUUID()}`;
  const stopping = new AbortController();
  const { signal } = stopping;
  const timing = { clock, random, logger, signal };

  // The way into Consul, open only while this process leads.
  const consul = createConsulClient({
    ...consulOptions(config),
    clock,
    onRequest: ({ status, error, ...sample }) =>
      metrics.consulRequest({ ...sample, status: status ?? error ?? 'unknown' }),
  });
  const commits: GroupCommit = new GroupCommit({
    txn: consul.txn,
    clock,
    othersRunnable: waiting => workforce.turnsAhead(finishing.count) > waiting,
    onTransaction: metrics.transaction,
    context: () => context.active(),
    inSpan: withTransactionSpan,
  });
  const onWorkChanged = (): void => commits.nudge();
  const finishing = new FinishingTurns(onWorkChanged);
  const gate = new WriteGate({ installId, dryRun: config.dryRun, commits, tenure: () => lead.tenure });

  // What is known of Consul: who owns what, and what stands at owned keys.
  const fingerprinter = new Fingerprinter();
  const ledger = new Ledger();
  const mirror = new KeyMirror(fingerprinter);
  const following = { ...timing, consul, onIndexFell: () => knowledge.indexFell() };
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
  // While everything is being read, what is read is no news.
  mirror.onChange(refs => look(refs, knowledge.missing ? PRIORITY.resync : PRIORITY.specChange));
  // Whoever let go is at it already and needs no turn for its own doing.
  ledger.onRelease((names, by) => {
    const self = by && resourceKey(by);
    look(watcher.concernedBy(names).filter(ref => resourceKey(ref) !== self));
  });
  const knowledge: Knowledge = new Knowledge({
    ...following,
    gate,
    installId,
    datacenter: config.consul.datacenter,
    fingerprinter,
    ledger,
    ledgerSync,
    watcher,
    onLoaded: () => lookAtAll(),
  });
  const outages = new Outages(consul.health, clock, () => lookAtAll());
  const consulAway = () => knowledge.missing ?? outages.away();

  // The kinds, each with its watches, its queue and its turns.
  const events = createEventRecorder({ client, clock, instance, onDropped: metrics.eventDropped });
  const removals: Removals = new Removals({
    ledger,
    exists: ref => workforce.exists(ref),
    isAbsenceKnown: ref => workforce.isAbsenceKnown(ref),
  });
  const base: Base = {
    ...timing,
    config,
    installId,
    client,
    metrics,
    events,
    consul,
    gate,
    ledger,
    ledgerSync,
    fingerprinter,
    mirror,
    watcher,
    removals,
    finishing,
    datacenter: () => knowledge.datacenter,
    consulAway,
    assertMayWrite,
    onWorkChanged,
  };
  const workforce: Workforce = new Workforce([serveConsulKV(base)]);
  metrics.conditions(() =>
    workforce.kinds.flatMap(({ type, resources }) => [...countConditions(type, resources)]),
  );

  function look(refs: Iterable<ResourceRef>, priority: Priority = PRIORITY.specChange): void {
    workforce.look(refs, priority);
  }

  function lookAtAll(): void {
    workforce.lookAtAll();
    look(removals.orphans(), PRIORITY.resync);
  }

  // Who leads, and who tells of an outage in which nobody can.
  const lease = new InstallLease({ client, namespace, installId, identity, clock });
  const held = new HeldRemovalsWatch({
    ...timing,
    lease,
    namespace,
    removals,
    events,
    isLeading: () => lead.tenure !== undefined,
    onHeld: count => metrics.removalsHeld(count),
    onConfirmed: () => look(removals.orphans(), PRIORITY.deletion),
  });
  const reporter: OutageReporter = new OutageReporter({
    ...timing,
    lease,
    identity,
    isAway: () => consulAway() !== undefined,
    isLeading: () => lead.tenure !== undefined,
    report: ended => workUntil(ended),
  });
  const lead: Lead = new Lead({
    ...timing,
    candidate: async () =>
      createOwnCandidate({
        ...timing,
        consul,
        config,
        installId,
        install: { cluster: await clusterUid(), namespace, release: config.install.release },
        instance,
        identity,
        progress: () =>
          workforce.longestRunningMs > NO_PROGRESS_MS ? 'a reconcile does not end' : undefined,
      }),
    openEpoch,
    work,
    onFatal,
  });
  void run();

  async function run(): Promise<void> {
    await workforce.settled;
    if (signal.aborted) return;
    if (config.dryRun) void observeOnly();
    else {
      void lead.run();
      void reporter.run();
    }
    await knowledge.load();
    if (signal.aborted) return;
    watcher.follow();
    // Records without a resource can only be told once the resources are known.
    void workforce.listed.then(() => look(removals.orphans(), PRIORITY.resync));
    await ledgerSync.follow();
  }

  /** Says which cluster this is to others at the same lock; where that may not be read, they are told less. */
  async function clusterUid(): Promise<string | undefined> {
    return readClusterUid(client, signal).catch(() => undefined);
  }

  async function openEpoch(opening: {
    readonly signal: AbortSignal;
    readonly beforeSend: () => void;
  }): Promise<number> {
    // Records outlive a Lease that somebody deleted.
    if (!ledger.isLoaded) await ledgerSync.load();
    const epochs = [...ledger.records()].map(({ head }) => head.epoch);
    return lease.raise(
      epochs.reduce((highest, epoch) => Math.max(highest, epoch), 0),
      opening,
    );
  }

  async function work(tenure: Tenure): Promise<void> {
    await reporter.rest();
    metrics.leading(true);
    await knowledgeOrPatience(tenure.signal);
    await workUntil(tenure.signal);
    metrics.leading(false);
  }

  /** Nothing can be written, so there is nothing to be elected for: not even a lock is taken. */
  async function observeOnly(): Promise<void> {
    await knowledgeOrPatience(signal);
    await workUntil(signal);
  }

  /** Nothing can be planned before Consul has been read, but after a while users should hear that it cannot be. */
  async function knowledgeOrPatience(ended: AbortSignal): Promise<void> {
    await Promise.race([knowledge.complete, pause(clock, OUTAGE_GRACE_MS, ended)]);
  }

  async function workUntil(ended: AbortSignal): Promise<void> {
    workforce.start(ended);
    lookAtAll();
    if (!(await workforce.rest(ended, clock))) {
      onFatal(
        new TerminalError('turns of a tenure that is over do not end: the process has to', {
          code: 'TENURE_DOES_NOT_END',
          reason: 'Progressing',
        }),
      );
    }
  }

  function assertMayWrite(): void {
    if (lead.tenure !== undefined) lead.tenure.assertHeld();
    else if (!config.dryRun && !reporter.isReporting) throw new AbortedError('this replica does not lead');
  }

  return {
    liveness: {
      'stuck-reconcile': () =>
        workforce.longestRunningMs > STUCK_MS ? 'a reconcile does not end' : undefined,
    },
    readiness: {
      'kubernetes-watches': () => workforce.problem(),
      consul: () => {
        const away = consulAway();
        return away === undefined ? undefined : messageOf(away.error);
      },
      lead: () => (config.dryRun ? undefined : lead.notice),
      'held-removals': () => held.notice,
    },
    stopIntake: () => workforce.stopIntake(),
    drain: budget => workforce.drain(budget),
    abort: budget => workforce.abort(budget),
    async releaseLock(budget) {
      await lead.resign(budget);
      stopping.abort();
    },
    async flush(budget) {
      const enough = new AbortController();
      const cancel = clock.after(FLUSH_EVENTS_MS, () => enough.abort());
      await events.flush(AbortSignal.any([budget, enough.signal]));
      cancel();
    },
  };
}
