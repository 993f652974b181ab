import type { Meter } from '@opentelemetry/api';
import { Instruments } from './instruments.ts';
import { RECONCILE_RESULTS, type ReconcileResult, SCOPE } from './names.ts';

/** How a reconcile failed; `terminal` and `panic` also count as errors, as in controller-runtime. */
export type ReconcileFailure = 'error' | 'terminal' | 'timeout' | 'panic';

/** Counts the reconciles of one controller. */
export interface ControllerMetrics {
  /** A worker took an item; the returned function counts its end, once. An aborted turn is counted as nothing. */
  start(): (end: {
    readonly result: ReconcileResult | 'aborted';
    readonly failure?: ReconcileFailure;
  }) => void;
  /** Outside edits were put back. */
  driftCorrected(count?: number): void;
}

/** client-go's workqueue metrics for one queue; the shape that `runtime/queue.ts` calls. */
export interface QueueMetrics {
  added(): void;
  depthChanged(priority: number, change: 1 | -1): void;
  delayed(): void;
  handedOut(waitedMs: number): void;
  finished(workedMs: number): void;
}

/** Work in progress of a queue, read at each scrape. */
export interface QueueProgress {
  readonly longestRunningMs: number;
  readonly unfinishedWorkMs: number;
}

/** What one reflector tells; the shape that `kube/reflector.ts` calls. */
export interface ReflectorMetrics {
  relisted(reason: string): void;
  failed(error: unknown, context: { readonly during: 'list' | 'watch' }): void;
  heard(): void;
}

export interface KubeRequestReport {
  /** HTTP status, or `<error>` when none came. */
  readonly code: string;
  readonly method: string;
  readonly host: string;
  readonly durationMs: number;
  /** A watch lasts as long as it may: it is counted and not timed. */
  readonly watch: boolean;
}

export interface ConsulRequestReport {
  readonly method: string;
  /** Path template, `/v1/kv/{key}`: never a real path. */
  readonly template: string;
  /** HTTP status, or a word when none came. */
  readonly status: number | string;
  readonly durationMs: number;
  /** A blocking query waits on purpose: it is counted and not timed. */
  readonly blocking?: boolean;
}

export type TransactionResult = 'applied' | 'refused' | 'failed';
const TRANSACTION_RESULTS: readonly TransactionResult[] = ['applied', 'refused', 'failed'];

export type EventDropReason = 'rate' | 'queue' | 'failed';
const EVENT_DROP_REASONS: readonly EventDropReason[] = ['rate', 'queue', 'failed'];

export type SpanDropReason = 'queue_full' | 'export_failed';
const SPAN_DROP_REASONS: readonly SpanDropReason[] = ['queue_full', 'export_failed'];

/** What a run of a health check found. */
export type CheckRunResult = 'passing' | 'warning' | 'critical' | 'unknown';
const CHECK_RUN_RESULTS: readonly CheckRunResult[] = ['passing', 'warning', 'critical', 'unknown'];

/** The health checks of this process, read at each scrape. */
export interface RunningChecks {
  readonly size: number;
  readonly waiting: number;
}

/** How many resources of one controller have a condition with this status and reason. */
export interface ConditionCount {
  readonly controller: string;
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly count: number;
}

/**
 * Every metric of the operator as typed calls; see `METRICS` in `names.ts` for what they mean. Calls never throw
 * and never wait. Counters whose labels are known beforehand stand at 0 from the start, so that a rate over the
 * first event is not lost.
 */
export class Metrics {
  readonly instruments: Instruments;
  readonly #heardAtMs = new Map<string, number[]>();
  readonly #stores = new Map<string, (() => number)[]>();

  constructor(meter: Meter) {
    this.instruments = new Instruments(meter);
    for (const result of TRANSACTION_RESULTS) this.instruments.add('transactions', 0, { result });
    for (const reason of SPAN_DROP_REASONS) this.instruments.add('spansDropped', 0, { reason });
    for (const reason of EVENT_DROP_REASONS) this.instruments.add('eventsDropped', 0, { reason });
    for (const result of CHECK_RUN_RESULTS) this.instruments.add('checkRuns', 0, { result });
    this.instruments.set('checkLastRun', 0, {});
    this.instruments.set('removalsHeld', 0, {});
    this.leading(false);
  }

  controller(
    controller: string,
    options: { readonly workers: number; readonly monotonic: () => number },
  ): ControllerMetrics {
    const metrics = this.instruments;
    const labels = { controller };
    for (const result of RECONCILE_RESULTS) metrics.add('reconcileTotal', 0, { controller, result });
    const zeroed = [
      'reconcileErrors',
      'terminalErrors',
      'reconcilePanics',
      'reconcileTimeouts',
      'activeWorkers',
      'driftCorrected',
    ] as const;
    for (const key of zeroed) metrics.add(key, 0, labels);
    metrics.set('maxConcurrent', options.workers, labels);
    return {
      start: () => {
        const startedMs = options.monotonic();
        metrics.add('activeWorkers', 1, labels);
        return ({ result, failure }) => {
          metrics.add('activeWorkers', -1, labels);
          if (result === 'aborted') return;
          metrics.record('reconcileTime', (options.monotonic() - startedMs) / 1000, labels);
          metrics.add('reconcileTotal', 1, { controller, result });
          if (failure !== undefined) this.#failed(controller, failure);
        };
      },
      driftCorrected: (count = 1) => metrics.add('driftCorrected', count, labels),
    };
  }

  #failed(controller: string, failure: ReconcileFailure): void {
    const metrics = this.instruments;
    metrics.add('reconcileErrors', 1, { controller });
    if (failure === 'terminal') metrics.add('terminalErrors', 1, { controller });
    if (failure === 'timeout') metrics.add('reconcileTimeouts', 1, { controller });
    if (failure === 'panic') metrics.add('reconcilePanics', 1, { controller });
  }

  queue(name: string): QueueMetrics {
    const metrics = this.instruments;
    const labels = { name, controller: name };
    metrics.add('queueDepth', 0, { ...labels, priority: '0' });
    metrics.add('queueAdds', 0, labels);
    metrics.add('queueRetries', 0, labels);
    return {
      added: () => metrics.add('queueAdds', 1, labels),
      depthChanged: (priority, change) =>
        metrics.add('queueDepth', change, { ...labels, priority: String(priority) }),
      delayed: () => metrics.add('queueRetries', 1, labels),
      handedOut: waitedMs => metrics.record('queueWait', waitedMs / 1000, labels),
      finished: workedMs => metrics.record('queueWork', workedMs / 1000, labels),
    };
  }

  /** Shows the work in progress of the queue called `name`. */
  queueProgress(name: string, queue: QueueProgress): void {
    const labels = { name, controller: name };
    this.instruments.observe('queueUnfinished', () => [{ value: queue.unfinishedWorkMs / 1000, labels }]);
    this.instruments.observe('queueLongest', () => [{ value: queue.longestRunningMs / 1000, labels }]);
  }

  /**
   * For one reflector. `name` is the resource watched, `consulkvs`; where several share it, one a namespace, the
   * time of the last event is that of the one that has been silent longest.
   */
  reflector(name: string, clock: { now(): number }): ReflectorMetrics {
    const metrics = this.instruments;
    const heardAtMs = this.#heardAtMs.get(name) ?? this.#observeLastEvent(name);
    const position = heardAtMs.push(clock.now()) - 1;
    metrics.add('watchErrors', 0, { name });
    return {
      relisted: reason => metrics.add('relists', 1, { name, reason }),
      failed: (_error, { during }) => {
        if (during === 'watch') metrics.add('watchErrors', 1, { name });
      },
      heard: () => {
        heardAtMs[position] = clock.now();
      },
    };
  }

  #observeLastEvent(name: string): number[] {
    const heardAtMs: number[] = [];
    this.#heardAtMs.set(name, heardAtMs);
    this.instruments.observe('lastEvent', () => [{ value: Math.min(...heardAtMs) / 1000, labels: { name } }]);
    return heardAtMs;
  }

  /** Shows the size of one cache; those of one name are shown as one. */
  store(name: string, objects: () => number): void {
    const known = this.#stores.get(name);
    if (known !== undefined) return void known.push(objects);
    const stores = [objects];
    this.#stores.set(name, stores);
    const count = (): number => stores.reduce((sum, each) => sum + each(), 0);
    this.instruments.observe('storeObjects', () => [{ value: count(), labels: { name } }]);
  }

  readonly kubeRequest = ({ code, method, host, durationMs, watch }: KubeRequestReport): void => {
    this.instruments.add('restRequests', 1, { code, method, host });
    if (!watch) this.instruments.record('restDuration', durationMs / 1000, { verb: method, host });
  };

  readonly consulRequest = ({
    method,
    template,
    status,
    durationMs,
    blocking,
  }: ConsulRequestReport): void => {
    const labels = { method, endpoint: template };
    this.instruments.add('consulRequests', 1, { ...labels, code: String(status) });
    if (blocking !== true) this.instruments.record('consulDuration', durationMs / 1000, labels);
  };

  readonly transaction = (sent: {
    readonly result: TransactionResult;
    readonly operations: number;
  }): void => {
    this.instruments.add('transactions', 1, { result: sent.result });
    this.instruments.record('transactionOperations', sent.operations, {});
  };

  /** `read` counts the resources by condition at each scrape. */
  conditions(read: () => Iterable<ConditionCount>): void {
    this.instruments.observe('resourceConditions', function* () {
      for (const { count, ...labels } of read()) yield { value: count, labels };
    });
  }

  /** Shows how many checks there are. */
  checks(running: RunningChecks): void {
    this.instruments.observe('checks', () => [{ value: running.size, labels: {} }]);
    this.instruments.observe('checksWaiting', () => [{ value: running.waiting, labels: {} }]);
  }

  /** A check ran. @param atMs wall clock. */
  checkRan(result: CheckRunResult, atMs: number): void {
    this.instruments.add('checkRuns', 1, { result });
    if (result !== 'unknown') this.instruments.set('checkLastRun', atMs / 1000, {});
  }

  readonly eventDropped = (reason: EventDropReason): void =>
    this.instruments.add('eventsDropped', 1, { reason });

  /** Whether this replica leads, by client-go's name. */
  leading(isLeading: boolean): void {
    this.instruments.set('leading', isLeading ? 1 : 0, { name: SCOPE });
  }

  removalsHeld(count: number): void {
    this.instruments.set('removalsHeld', count, {});
  }

  readonly spansDropped = (reason: SpanDropReason, count: number): void =>
    this.instruments.add('spansDropped', count, { reason });
}
