import { diag, DiagLogLevel } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { Clock } from '../core/clock.ts';
import { exportedSignals } from './export-settings.ts';
import type { Logger } from './logger.ts';
import { Metrics } from './metrics.ts';
import { createMetering, type Metering } from './prometheus.ts';
import { createResource, type Identity } from './resource.ts';
import { createSayOnce, type SayOnce } from './say-once.ts';
import type { TraceExport } from './trace-export.ts';

/** How long a collector that hangs may hold up the end of the process. */
const SHUTDOWN_MS = 2_000;
/** Trouble with the collector is logged when it begins and then this often. */
const REPEAT_LOG_MS = 5 * 60_000;

export interface TelemetryOptions {
  /** The environment of the process: the exporters read their share of it themselves. */
  readonly env: NodeJS.ProcessEnv;
  readonly identity: Identity;
  readonly logger: Logger;
  readonly clock: Clock;
}

export interface Telemetry {
  readonly metrics: Metrics;
  /** True when spans are exported. */
  readonly tracing: boolean;
  /** All metrics in Prometheus' text format. */
  scrape(): Promise<string>;
  /** Sends what is left and gives up what is not sent in time, by default 2 seconds. Never rejects. */
  shutdown(withinMs?: number): Promise<void>;
}

/**
 * Starts metrics, and tracing if `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set.
 * Whatever the collector does, nothing here throws afterwards, waits for it, or grows.
 *
 * @throws TerminalError `SETTING_INVALID` when the endpoint is no URL.
 */
export async function startTelemetry({ env, identity, logger, clock }: TelemetryOptions): Promise<Telemetry> {
  const log = logger.child({ component: 'telemetry' });
  const sayOnce = createSayOnce(() => clock.monotonic(), REPEAT_LOG_MS);
  const signals = exportedSignals(env);
  routeDiagnostics(log, sayOnce);
  const resource = createResource(identity);
  const readers = signals.metrics ? [(await import('./metric-export.ts')).createMetricExport()] : [];
  const onError = (err: unknown): void =>
    sayOnce('metric', suppressed => log.error({ err, suppressed }, 'a metric could not be read'));
  const metering = createMetering({ resource, readers, onError });
  const metrics = new Metrics(metering.meter);
  const traceExport = signals.traces
    ? await exportTraces({ env, resource, metrics, log, sayOnce })
    : undefined;
  let ended: Promise<void> | undefined;
  return {
    metrics,
    tracing: traceExport !== undefined,
    scrape: () => metering.scrape(),
    shutdown: (withinMs = SHUTDOWN_MS) =>
      (ended ??= shutDown({ metering, traceExport, clock, log, withinMs })),
  };
}

/** Imported only now: gRPC and the SDK for Node cost time and memory that a process without tracing keeps. */
async function exportTraces(options: {
  readonly env: NodeJS.ProcessEnv;
  readonly resource: Resource;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly sayOnce: SayOnce;
}): Promise<TraceExport> {
  const { env, resource, metrics, log, sayOnce } = options;
  const { startTraceExport } = await import('./trace-export.ts');
  const traceExport = startTraceExport({
    env,
    resource,
    onDropped: metrics.spansDropped,
    onExportFailed: err =>
      sayOnce('export', suppressed =>
        log.warn({ err, suppressed }, 'collector takes no spans, they are dropped'),
      ),
    onIgnoredSetting: setting => log.warn({ setting }, 'setting is not supported, the default is used'),
  });
  // NodeSDK has put its own logger in place if OTEL_LOG_LEVEL is set: that one writes to the console.
  routeDiagnostics(log, sayOnce);
  return traceExport;
}

/** What the SDK has to say goes to our log: the SDK's own logger prints plain text. */
function routeDiagnostics(log: Logger, sayOnce: SayOnce): void {
  const say = (level: 'warn' | 'error') => (detail: string) =>
    sayOnce(detail, suppressed => log[level]({ detail, suppressed }, 'OpenTelemetry SDK reports'));
  const silent = (): void => {};
  diag.setLogger(
    { error: say('error'), warn: say('warn'), info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

async function shutDown(parts: {
  readonly metering: Metering;
  readonly traceExport: TraceExport | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly withinMs: number;
}): Promise<void> {
  const { metering, traceExport, clock, log, withinMs } = parts;
  const flushed = Promise.allSettled([traceExport?.shutdown(), metering.shutdown()]).then(() => true);
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const cancel = clock.after(withinMs, () => resolve(false));
  const inTime = await Promise.race([flushed, late]);
  cancel();
  diag.disable();
  if (!inTime)
    log.warn({ dropped: traceExport?.pending ?? 0 }, 'collector did not answer in time, spans are lost');
}
