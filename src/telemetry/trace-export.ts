import { context, logs, propagation, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import type { Resource } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import type { SpanDropReason } from './metrics.ts';
import { samplerFromEnv } from './sampler.ts';
import { SpanPipeline } from './span-pipeline.ts';

/** The SDK's defaults; each can be set by its `OTEL_BSP_…` variable. */
const QUEUE_SPANS = 2048;
const BATCH_SPANS = 512;
const BATCH_DELAY_MS = 5_000;
/** Longer than the exporter's own 10 s, so that there is normally one request under way. */
const EXPORT_TIMEOUT_MS = 30_000;
/** Requests under way at once, for a collector that answers late; more than the batches of one full queue. */
const EXPORTS_IN_FLIGHT = 8;

export interface TraceExportOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly resource: Resource;
  readonly onDropped: (reason: SpanDropReason, count: number) => void;
  readonly onExportFailed: (error: unknown) => void;
  readonly onIgnoredSetting: (setting: string) => void;
}

export interface TraceExport {
  /** Spans that are neither delivered nor dropped. */
  readonly pending: number;
  /** Sends what is left. Takes as long as the collector does: the caller must not wait for ever. */
  shutdown(): Promise<void>;
}

/**
 * Starts tracing for the whole process: spans go by OTLP over gRPC, the active span follows asynchronous calls,
 * and requests can carry it (`OTEL_PROPAGATORS`). This module alone pulls in gRPC and the SDK for Node, so it is imported only when tracing is on.
 *
 * Endpoint, headers, certificates, compression and timeout come from the standard `OTEL_EXPORTER_OTLP_…`
 * variables, which the exporter reads by itself.
 *
 * @throws Error when the endpoint is no URL.
 */
export function startTraceExport(options: TraceExportOptions): TraceExport {
  const { env, resource, onDropped, onExportFailed, onIgnoredSetting } = options;
  const setting = (name: string, otherwise: number): number =>
    positive(env, name, onIgnoredSetting) ?? otherwise;
  const maxQueueSize = setting('OTEL_BSP_MAX_QUEUE_SIZE', QUEUE_SPANS);
  const protocol = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'].find(
    name => env[name],
  );
  if (protocol !== undefined && env[protocol] !== 'grpc') onIgnoredSetting(protocol);
  const pipeline = new SpanPipeline({
    exporter: new OTLPTraceExporter({ concurrencyLimit: EXPORTS_IN_FLIGHT }),
    maxQueueSize,
    batching: {
      maxExportBatchSize: Math.min(maxQueueSize, setting('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', BATCH_SPANS)),
      scheduledDelayMillis: setting('OTEL_BSP_SCHEDULE_DELAY', BATCH_DELAY_MS),
      exportTimeoutMillis: setting('OTEL_BSP_EXPORT_TIMEOUT', EXPORT_TIMEOUT_MS),
    },
    onDropped,
    onExportFailed,
  });
  const sdk = new NodeSDK({
    resource,
    autoDetectResources: false,
    sampler: samplerFromEnv(env, onIgnoredSetting),
    spanProcessors: [pipeline],
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  return {
    get pending() {
      return pipeline.pending;
    },
    shutdown: async () => {
      for (const api of [trace, context, propagation, logs]) api.disable();
      await sdk.shutdown();
    },
  };
}

function positive(
  env: NodeJS.ProcessEnv,
  name: string,
  onIgnored: (setting: string) => void,
): number | undefined {
  const text = env[name]?.trim() ?? '';
  if (text === '') return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  onIgnored(name);
  return undefined;
}
