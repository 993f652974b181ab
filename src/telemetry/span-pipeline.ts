import { context, ROOT_CONTEXT, TraceFlags } from '@opentelemetry/api';
import { ExportResultCode } from '@opentelemetry/core';
import {
  BatchSpanProcessor,
  type BatchSpanProcessorOptions,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace';
import type { SpanDropReason } from './metrics.ts';

export interface SpanPipelineOptions {
  readonly exporter: SpanExporter;
  readonly maxQueueSize: number;
  readonly batching: Omit<BatchSpanProcessorOptions, 'exporter' | 'maxQueueSize' | 'selfObsMeterProvider'>;
  readonly onDropped: (reason: SpanDropReason, count: number) => void;
  /** A batch did not reach the collector. */
  readonly onExportFailed: (error: unknown) => void;
}

/**
 * The way of a span to the collector: the SDK's batch processor, with a gate before it and a counter behind it,
 * because the SDK drops spans without telling how many. A collector that is away, or takes and never answers,
 * costs the spans over `maxQueueSize` and nothing else: nobody waits for it.
 */
export class SpanPipeline implements SpanProcessor {
  readonly #options: SpanPipelineOptions;
  readonly #batches: BatchSpanProcessor;
  #queued = 0;
  #sending = 0;

  constructor(options: SpanPipelineOptions) {
    this.#options = options;
    const { batching, maxQueueSize, exporter } = options;
    this.#batches = new BatchSpanProcessor({
      ...batching,
      maxQueueSize,
      exporter: {
        export: (spans, done) => this.#export(spans, done),
        shutdown: () => exporter.shutdown(),
      },
    });
  }

  /** Spans that are neither delivered nor dropped. */
  get pending(): number {
    return this.#queued + this.#sending;
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
    if (this.#queued >= this.#options.maxQueueSize) {
      this.#options.onDropped('queue_full', 1);
      return;
    }
    this.#queued++;
    // Outside the span's own trace: this may start an export, and what that logs has nothing to do with it.
    context.with(ROOT_CONTEXT, () => this.#batches.onEnd(span));
  }

  forceFlush(): Promise<void> {
    return this.#batches.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#batches.shutdown();
  }

  /** Always reports success upwards: the failure has been dealt with, and the SDK would only log it again. */
  #export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.#queued -= spans.length;
    this.#sending += spans.length;
    this.#options.exporter.export(spans, result => {
      this.#sending -= spans.length;
      if (result.code !== ExportResultCode.SUCCESS) {
        this.#options.onDropped('export_failed', spans.length);
        this.#options.onExportFailed(result.error);
      }
      done({ code: ExportResultCode.SUCCESS });
    });
  }
}
