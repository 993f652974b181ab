/**
 * Every name that telemetry shows to the outside: spans, attributes, log fields, metrics. Data only, so that any
 * module may import it and `docs/metrics.md` is generated from it. A name that is not here is not exported.
 */

/** Span names: few and fixed. What differs from one span to the next is an attribute. */
export const SPANS = {
  /** Root of a reconcile; the kind follows: `reconcile ConsulKV`. */
  reconcile: 'reconcile',
  observe: 'observe',
  plan: 'plan',
  apply: 'apply',
  status: 'status',
  /** One Consul transaction; it may serve several reconciles (group commit). */
  transaction: 'transaction',
} as const;

/** The parts of a reconcile that have a span of their own. */
export type StepName = 'observe' | 'plan' | 'apply' | 'status';

/** Span attributes. HTTP ones follow OpenTelemetry's stable conventions; the others are ours, as there are none yet. */
export const ATTRIBUTES = {
  kind: 'consul.operator.kind',
  namespace: 'consul.operator.namespace',
  name: 'consul.operator.name',
  generation: 'consul.operator.generation',
  turn: 'consul.operator.turn',
  result: 'consul.operator.result',
  reason: 'consul.operator.reason',
  plan: 'consul.operator.plan',
  actions: 'consul.operator.actions',
  driftFields: 'consul.operator.drift.fields',
  operations: 'consul.operator.transaction.operations',
  turns: 'consul.operator.transaction.turns',
  errorType: 'error.type',
  httpMethod: 'http.request.method',
  httpStatus: 'http.response.status_code',
  httpResend: 'http.request.resend_count',
  urlTemplate: 'url.template',
  serverAddress: 'server.address',
  serverPort: 'server.port',
} as const;

/** Resource attributes of everything exported over OTLP. */
export const RESOURCE_ATTRIBUTES = {
  serviceName: 'service.name',
  serviceVersion: 'service.version',
  serviceInstanceId: 'service.instance.id',
  namespaceName: 'k8s.namespace.name',
  podName: 'k8s.pod.name',
  podUid: 'k8s.pod.uid',
} as const;

/** Annotations that may carry a W3C `traceparent`, the first that parses wins (KEP-5915). Read, never written. */
export const TRACEPARENT_ANNOTATIONS = ['tracing.k8s.io/traceparent', 'traceparent'] as const;

/** Name of the meter and the tracer. */
export const SCOPE = 'proconsul';

/**
 * Log fields and what they hold. The logger prints these and nothing else: a field of any other name comes out as
 * `[redacted]`, so that no token and no value can be logged by accident.
 */
export const LOG_FIELDS = {
  // Who speaks
  version: 'Version of the operator.',
  instance: 'Pod name, or host name outside Kubernetes.',
  installId: 'Install id (PROCONSUL_INSTALL_ID).',
  component: 'Part of the operator: `reflector`, `consul`, `commit`, …',
  // One reconcile
  controller: 'Controller name, the kind in lower case.',
  kind: 'Kind of the resource.',
  namespace: 'Namespace of the resource.',
  name: 'Name of the resource.',
  uid: 'UID of the resource.',
  generation: 'Generation the turn works on.',
  resourceVersion: 'Resource version of an object or a list.',
  turn: 'Id of the turn.',
  result: 'How a turn or a request ended: `success`, `error`, `requeue`, `requeue_after`.',
  reason: 'Condition reason, or why something happened.',
  condition: 'Condition type.',
  plan: 'What was planned: `noop`, `change`, `wait`, `refuse`.',
  actions: 'Number of planned actions.',
  fields: 'Names of the fields or keys that drifted; never their values.',
  attempt: 'Failures so far.',
  retryInMs: 'Milliseconds until the next try.',
  durationMs: 'Duration in milliseconds.',
  trace_id: 'Trace the line belongs to (W3C, hex).',
  span_id: 'Span the line belongs to (W3C, hex).',
  // Requests
  method: 'HTTP method.',
  path: 'Path template of a request, without names and values.',
  host: 'Host and port of a server.',
  address: 'Address of a server.',
  status: 'HTTP status.',
  code: 'Stable error code, see docs/errors.md.',
  index: 'Blocking-query index.',
  operation: 'Step of the election: `open`, `acquire`, `renew`, …',
  operations: 'Operations in a transaction.',
  bytes: 'Size in bytes.',
  turns: 'Turns served by one transaction.',
  // Others
  port: 'Port that is listened on.',
  check: 'Name of a probe check, or where a health check stands: `/check/<node>/<id>`.',
  checks: 'Names of probe checks.',
  node: 'Name of a node in Consul.',
  count: 'How many.',
  dropped: 'How many were dropped.',
  suppressed: 'Equal lines left out since the last one.',
  objects: 'Objects in a list or store.',
  resources: 'Resource names that are watched.',
  namespaces: 'Namespaces that are watched.',
  prefix: 'Key prefix in Consul.',
  key: 'Key in Consul, or of a resource in the work queue; never a value.',
  epoch: 'Number of the tenure.',
  sessionId: 'Id of a Consul session, which is no credential.',
  holder: 'Who holds a lock.',
  confirmation: 'What confirms the held removals: a fingerprint of the set, no credential.',
  signal: 'Signal that was received.',
  phase: 'Phase of start or shutdown.',
  setting: 'Name of a setting.',
  datacenter: 'Consul datacenter.',
  consulVersion: 'Version of the Consul server.',
  lagMs: 'Event loop lag in milliseconds.',
  detail: 'Words of a library.',
  err: 'Error: type, code, reason, message, stack, cause.',
} as const;

export type LogField = keyof typeof LOG_FIELDS;

export interface MetricDefinition {
  /** As it stands on /metrics. */
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  /** `recorded` as things happen, `counted` up and down, or `observed`: asked for at each scrape. */
  readonly source: 'recorded' | 'counted' | 'observed';
  /** UCUM, as OpenTelemetry wants it: `s`, `By`, or `1` for a plain number. */
  readonly unit: 's' | 'By' | '1';
  readonly labels: readonly string[];
  readonly description: string;
  readonly buckets?: readonly number[];
}

/** controller-runtime's own buckets. */
const RECONCILE_SECONDS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5,
  1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
] as const;
/** Prometheus' ExponentialBuckets(10e-9, 10, 12), as controller-runtime's workqueue metrics. */
const WORKQUEUE_SECONDS = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10, 100, 1000] as const;
/** client-go's request latency buckets. */
const REQUEST_SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60] as const;
const OPERATIONS = [1, 2, 4, 8, 16, 32, 64, 128] as const;

/** Values of the `result` label of `controller_runtime_reconcile_total`. */
export const RECONCILE_RESULTS = ['success', 'error', 'requeue', 'requeue_after'] as const;
export type ReconcileResult = (typeof RECONCILE_RESULTS)[number];

/**
 * Every metric, by controller-runtime's and client-go's names where these exist, so that dashboards and alerts
 * made for other operators work. Labels never name a single object.
 */
export const METRICS = {
  reconcileTotal: {
    name: 'controller_runtime_reconcile_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['controller', 'result'],
    description: 'Total number of reconciliations per controller.',
  },
  reconcileErrors: {
    name: 'controller_runtime_reconcile_errors_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['controller'],
    description: 'Total number of reconciliation errors per controller.',
  },
  terminalErrors: {
    name: 'controller_runtime_terminal_reconcile_errors_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['controller'],
    description:
      'Total number of reconciliation errors per controller that only a change of the resource can clear.',
  },
  reconcilePanics: {
    name: 'controller_runtime_reconcile_panics_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['controller'],
    description:
      'Total number of reconciliations that ended in an error of no known class: a defect of the operator.',
  },
  reconcileTimeouts: {
    name: 'controller_runtime_reconcile_timeouts_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['controller'],
    description: 'Total number of reconciliations cut off at their deadline.',
  },
  reconcileTime: {
    name: 'controller_runtime_reconcile_time_seconds',
    kind: 'histogram',
    source: 'recorded',
    unit: 's',
    labels: ['controller'],
    description: 'Length of time per reconciliation.',
    buckets: RECONCILE_SECONDS,
  },
  maxConcurrent: {
    name: 'controller_runtime_max_concurrent_reconciles',
    kind: 'gauge',
    source: 'recorded',
    unit: '1',
    labels: ['controller'],
    description: 'Maximum number of concurrent reconciles.',
  },
  activeWorkers: {
    name: 'controller_runtime_active_workers',
    kind: 'gauge',
    source: 'counted',
    unit: '1',
    labels: ['controller'],
    description: 'Number of workers that reconcile right now.',
  },
  queueDepth: {
    name: 'workqueue_depth',
    kind: 'gauge',
    source: 'counted',
    unit: '1',
    labels: ['name', 'controller', 'priority'],
    description: 'Current depth of the queue, by priority.',
  },
  queueAdds: {
    name: 'workqueue_adds_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['name', 'controller'],
    description: 'Total number of adds to the queue.',
  },
  queueWait: {
    name: 'workqueue_queue_duration_seconds',
    kind: 'histogram',
    source: 'recorded',
    unit: 's',
    labels: ['name', 'controller'],
    description: 'How long an item stays in the queue before it is worked on.',
    buckets: WORKQUEUE_SECONDS,
  },
  queueWork: {
    name: 'workqueue_work_duration_seconds',
    kind: 'histogram',
    source: 'recorded',
    unit: 's',
    labels: ['name', 'controller'],
    description: 'How long working on an item takes.',
    buckets: WORKQUEUE_SECONDS,
  },
  queueUnfinished: {
    name: 'workqueue_unfinished_work_seconds',
    kind: 'gauge',
    source: 'observed',
    unit: 's',
    labels: ['name', 'controller'],
    description:
      'Seconds of work in progress that no duration has counted yet; large values mean stuck workers.',
  },
  queueLongest: {
    name: 'workqueue_longest_running_processor_seconds',
    kind: 'gauge',
    source: 'observed',
    unit: 's',
    labels: ['name', 'controller'],
    description: 'Seconds the longest running worker has been at its item.',
  },
  queueRetries: {
    name: 'workqueue_retries_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['name', 'controller'],
    description: 'Total number of delayed adds to the queue.',
  },
  restRequests: {
    name: 'rest_client_requests_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['code', 'method', 'host'],
    description: 'Requests to the API server, by status code (`<error>` when none came), method and host.',
  },
  restDuration: {
    name: 'rest_client_request_duration_seconds',
    kind: 'histogram',
    source: 'recorded',
    unit: 's',
    labels: ['verb', 'host'],
    description: 'Latency of requests to the API server, watches apart.',
    buckets: REQUEST_SECONDS,
  },
  relists: {
    name: 'reflector_relists_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['name', 'reason'],
    description: 'Lists made to fill or refill a cache, by resource and reason.',
  },
  watchErrors: {
    name: 'reflector_watch_errors_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['name'],
    description: 'Watches that ended other than by their own time limit.',
  },
  lastEvent: {
    name: 'reflector_last_event_timestamp_seconds',
    kind: 'gauge',
    source: 'observed',
    unit: 's',
    labels: ['name'],
    description: 'When the last event or bookmark arrived, in seconds since the epoch.',
  },
  storeObjects: {
    name: 'reflector_store_objects',
    kind: 'gauge',
    source: 'observed',
    unit: '1',
    labels: ['name'],
    description: 'Objects in a cache.',
  },
  consulRequests: {
    name: 'proconsul_consul_requests_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['method', 'endpoint', 'code'],
    description:
      'Requests to Consul, by method, path template and status code, or error code when no answer came.',
  },
  consulDuration: {
    name: 'proconsul_consul_request_duration_seconds',
    kind: 'histogram',
    source: 'recorded',
    unit: 's',
    labels: ['method', 'endpoint'],
    description: 'Latency of requests to Consul, blocking queries apart.',
    buckets: REQUEST_SECONDS,
  },
  transactions: {
    name: 'proconsul_transactions_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['result'],
    description: 'Consul transactions sent, by how they ended.',
  },
  transactionOperations: {
    name: 'proconsul_transaction_operations',
    kind: 'histogram',
    source: 'recorded',
    unit: '1',
    labels: [],
    description: 'Operations in a Consul transaction.',
    buckets: OPERATIONS,
  },
  driftCorrected: {
    name: 'proconsul_drift_corrected_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['controller'],
    description: 'Keys or fields that had been changed from outside and were put back.',
  },
  resourceConditions: {
    name: 'proconsul_resource_condition',
    kind: 'gauge',
    source: 'observed',
    unit: '1',
    labels: ['controller', 'type', 'status', 'reason'],
    description: 'Number of resources with a condition, by its status and reason.',
  },
  eventsDropped: {
    name: 'proconsul_events_dropped_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['reason'],
    description: 'Kubernetes Events given up: over the `rate`, `queue` full, or `failed` to be sent.',
  },
  leading: {
    name: 'leader_election_master_status',
    kind: 'gauge',
    source: 'recorded',
    unit: '1',
    labels: ['name'],
    description: '1 while this replica leads, 0 while it stands by.',
  },
  removalsHeld: {
    name: 'proconsul_removals_held',
    kind: 'gauge',
    source: 'recorded',
    unit: '1',
    labels: [],
    description: 'Owner records whose removal waits for a go-ahead.',
  },
  checks: {
    name: 'proconsul_checks',
    kind: 'gauge',
    source: 'observed',
    unit: '1',
    labels: [],
    description: 'Health checks that this replica runs; 0 while it does not lead.',
  },
  checksWaiting: {
    name: 'proconsul_checks_waiting',
    kind: 'gauge',
    source: 'observed',
    unit: '1',
    labels: [],
    description: 'Health checks that are due and wait for others to end; many mean that targets hang.',
  },
  checkRuns: {
    name: 'proconsul_check_runs_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['result'],
    description:
      'Runs of health checks, by what they found: `passing`, `warning`, `critical`, or `unknown` when this replica could not ask.',
  },
  checkLastRun: {
    name: 'proconsul_check_last_run_timestamp_seconds',
    kind: 'gauge',
    source: 'recorded',
    unit: 's',
    labels: [],
    description:
      'When this replica last asked a target, in seconds since the epoch; 0: never. Health in Consul is as fresh as the highest of all replicas.',
  },
  spansDropped: {
    name: 'proconsul_trace_spans_dropped_total',
    kind: 'counter',
    source: 'recorded',
    unit: '1',
    labels: ['reason'],
    description: 'Spans that never reached the collector: `queue_full` or `export_failed`.',
  },
  buildInfo: {
    name: 'proconsul_build_info',
    kind: 'gauge',
    source: 'recorded',
    unit: '1',
    labels: ['version', 'node_version'],
    description: 'Always 1; its labels say what runs.',
  },
  cpuSeconds: {
    name: 'process_cpu_seconds_total',
    kind: 'counter',
    source: 'observed',
    unit: 's',
    labels: [],
    description: 'Total user and system CPU time spent.',
  },
  residentBytes: {
    name: 'process_resident_memory_bytes',
    kind: 'gauge',
    source: 'observed',
    unit: 'By',
    labels: [],
    description: 'Resident memory size.',
  },
  startTime: {
    name: 'process_start_time_seconds',
    kind: 'gauge',
    source: 'observed',
    unit: 's',
    labels: [],
    description: 'Start time of the process in seconds since the epoch.',
  },
  heapUsed: {
    name: 'nodejs_heap_size_used_bytes',
    kind: 'gauge',
    source: 'observed',
    unit: 'By',
    labels: [],
    description: 'JavaScript heap in use.',
  },
  eventLoopLagMean: {
    name: 'nodejs_eventloop_lag_mean_seconds',
    kind: 'gauge',
    source: 'observed',
    unit: 's',
    labels: [],
    description: 'Mean lag of the event loop since the last scrape.',
  },
  eventLoopLagMax: {
    name: 'nodejs_eventloop_lag_max_seconds',
    kind: 'gauge',
    source: 'observed',
    unit: 's',
    labels: [],
    description: 'Largest lag of the event loop since the last scrape.',
  },
} as const satisfies Record<string, MetricDefinition>;
