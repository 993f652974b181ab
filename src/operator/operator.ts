import { randomUUID } from 'node:crypto';
import { context } from '@opentelemetry/api';
import { GroupCommit } from '../commit/group-commit.ts';
import type { Tenure } from '../commit/tenure.ts';
import type { Config } from '../config/config.ts';
import { createConsulClient } from '../consul/client.ts';
import type { Clock, Random } from '../core/clock.ts';
import { AbortedError, messageOf, TerminalError } from '../core/errors.ts';
import { pause } from '../core/pause.ts';
import type { ResourceRef } from '../core/resource.ts';
import { createEventRecorder, type KubeClient, readClusterUid, type ResourceType } from '../kube/index.ts';
import { Removals } from '../ownership/removals.ts';
import { PRIORITY, type Priority } from '../runtime/queue.ts';
import { OUTAGE_GRACE_MS } from '../runtime/status.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Checks } from '../telemetry/probes.ts';
import { withTransactionSpan } from '../telemetry/tracing.ts';
import type { Base } from './base.ts';
import { consulOptions, ELECTING_CONNECTIONS, WORKING_CONNECTIONS } from './consul-options.ts';
import { createConsulView } from './consul-view.ts';
import { ElectionTrouble } from './election-trouble.ts';
import { FinishingTurns } from './finishing-turns.ts';
import { HeldRemovalsWatch } from './held-removals.ts';
import { InstallLease } from './install-lease.ts';
import { CONSUL_INTENTIONS, CONSUL_SERVICES } from './kinds.ts';
import { KubeContact } from './kube-contact.ts';
import { Lead } from './lead.ts';
import { renewSessions } from './lease-renewals.ts';
import { removeEmptyNodes } from './node-strays.ts';
import { OutageReporter } from './outage-reporter.ts';
import { Outages } from './outages.ts';
import { createOwnCandidate } from './own-election.ts';
import { serveConsulIntention } from './serve-intention.ts';
import { serveConsulKV } from './serve-kv.ts';
import { serveConsulLeaderLease } from './serve-lease.ts';
import { serveConsulService } from './serve-service.ts';
import { ServiceStrays } from './service-strays.ts';
import { countConditions } from './turn-metrics.ts';
import { Workforce } from './workforce.ts';
import { createWriteSide } from './write-side.ts';

/** Events are best effort: those not sent by then are dropped, within the step's budget, and the exit stays clean. */
const FLUSH_EVENTS_MS = 700;
/** A turn that has not ended by then is a defect that a restart may help. */
const STUCK_MS = 180_000;
/** A leader with such a turn does not renew: every turn is aborted after 60 s, and given 10 s to end. */
const NO_PROGRESS_MS = 75_000;
/** A leader that sees no changes for so long lets another replica lead, which may be better off. */
const KUBE_LOST_MS = 30_000;

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
  const { config, installId, namespace, instance, clock, random, logger, metrics, onFatal } = options;
  const identity = `${instance}_${randomUUID()}`;
  const stopping = new AbortController();
  const { signal } = stopping;
  const contact = new KubeContact(clock, signal);
  const client = contact.observe(options.client);
  const timing = { clock, random, logger, signal };

  // The way into Consul, open only while this process leads.
  const connect = (limits: typeof WORKING_CONNECTIONS) =>
    createConsulClient({
      ...consulOptions(config),
      ...limits,
      clock,
      onRequest: ({ status, error, ...sample }) =>
        metrics.consulRequest({ ...sample, status: status ?? error ?? 'unknown' }),
    });
  const consul = connect(WORKING_CONNECTIONS);
  const electing = connect(ELECTING_CONNECTIONS);
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
  const tenure = (): Tenure | undefined => lead.tenure;
  const writeSide = createWriteSide({ consul, config, installId, commits, tenure });

  const view = createConsulView({
    ...timing,
    consul,
    gate: writeSide.gate,
    installId,
    datacenter: config.consul.datacenter,
    look,
    onLoaded: () => {
      assertLatestTenure();
      if (isInUse(CONSUL_INTENTIONS)) view.intentionMirror.open();
      if (isInUse(CONSUL_SERVICES)) view.serviceMirror.open();
      lookAtAll();
    },
  });
  const { ledger, ledgerSync, watcher, sessionMirror, knowledge } = view;
  // Sessions of leases are seen and kept alive by every replica, whoever leads. A dry run is none of them.
  if (!config.dryRun) renewSessions(sessionMirror, { ...timing, sessions: consul.sessions });
  const outages = new Outages(consul.health, clock, () => lookAtAll());
  const trouble = new ElectionTrouble(clock, () => lookAtAll());
  const consulAway = () => outages.away() ?? (lead.isLed ? undefined : trouble.away()) ?? knowledge.missing;

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
    ...writeSide,
    ...view,
    removals,
    finishing,
    datacenter: () => knowledge.datacenter,
    primaryDatacenter: () => knowledge.primaryDatacenter,
    isKnown: () => knowledge.missing === undefined,
    consulAway,
    isLeading: () => lead.tenure !== undefined,
    rightToWrite,
    rightToTell,
    onWorkChanged,
  };
  const workforce: Workforce = new Workforce([
    serveConsulKV(base),
    serveConsulIntention(base),
    serveConsulLeaderLease(base),
    serveConsulService(base),
  ]);
  metrics.conditions(() =>
    workforce.kinds.flatMap(({ type, resources }) => [...countConditions(type, resources)]),
  );

  function look(refs: Iterable<ResourceRef>, priority: Priority = PRIORITY.specChange): void {
    workforce.look(refs, priority);
  }

  /** Whether there is a resource of the kind, or was one that has left something behind. */
  function isInUse({ kind }: ResourceType): boolean {
    const present = workforce.kinds.some(({ type, resources }) => type.kind === kind && resources.size > 0);
    return present || [...ledger.records()].some(({ ref }) => ref.kind === kind);
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
        consul: electing,
        config,
        installId,
        install: { cluster: await clusterUid(), namespace, release: config.install.release },
        instance,
        identity,
        onNews: news => {
          trouble.heard(news);
          if (news.what === 'reset') void knowledge.indexFell();
        },
        progress: () => {
          if (workforce.longestRunningMs > NO_PROGRESS_MS) return 'a reconcile does not end';
          return contact.lostForMs > KUBE_LOST_MS ? 'the API server is out of reach' : undefined;
        },
      }),
    openEpoch,
    work,
    onFatal,
  });
  let openedUnread: number | undefined;
  void sessionMirror.follow();
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
    const epoch = await lease.raise(highestRecordedEpoch(), opening);
    // The records were read meanwhile.
    if (epoch <= highestRecordedEpoch()) return lease.raise(highestRecordedEpoch(), opening);
    openedUnread = ledger.isLoaded ? undefined : epoch;
    return epoch;
  }

  /** Records outlive a Lease that somebody deleted: a tenure that was opened before they were read may be behind. */
  function assertLatestTenure(): void {
    const { tenure } = lead;
    if (tenure !== undefined && tenure.epoch === openedUnread && tenure.epoch <= highestRecordedEpoch()) {
      tenure.revoke('owner records tell of a later tenure');
    }
    openedUnread = undefined;
  }

  function highestRecordedEpoch(): number {
    let highest = 0;
    for (const { head } of ledger.records()) highest = Math.max(highest, head.epoch);
    return highest;
  }

  async function work(tenure: Tenure): Promise<void> {
    await reporter.rest();
    metrics.leading(true);
    // What the leader before wrote last is health, which a standby may know 10 s later.
    view.serviceMirror.doubtAll();
    await knowledgeOrPatience(tenure.signal);
    void removeStrays(tenure.signal);
    await workUntil(tenure.signal);
    metrics.leading(false);
  }

  /** What should stand nowhere, and then the nodes that are empty for it. */
  async function removeStrays(ended: AbortSignal): Promise<void> {
    const isGone = (ref: ResourceRef) => workforce.isAbsenceKnown(ref) && !workforce.exists(ref);
    const strays = new ServiceStrays({ ...base, isGone, signal: ended });
    await strays.begin();
    await removeEmptyNodes({ ...base, signal: ended });
    await strays.follow();
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

  function rightToWrite(): AbortSignal {
    const { tenure } = lead;
    if (tenure === undefined && !config.dryRun) throw new AbortedError('this replica does not lead');
    tenure?.assertHeld();
    return tenure?.signal ?? signal;
  }

  function rightToTell(): AbortSignal {
    return lead.tenure === undefined && reporter.isReporting ? signal : rightToWrite();
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
