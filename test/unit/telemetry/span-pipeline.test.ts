import { ExportResultCode } from '@opentelemetry/core';
import {
  AlwaysOffSampler,
  type ReadableSpan,
  type SpanExporter,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { afterEach, describe, expect, test } from 'vitest';
import { SpanPipeline } from '../../../src/telemetry/span-pipeline.ts';

type Answer = 'success' | 'failure' | 'never';

/** A collector as the pipeline sees it: it answers as told, and what it never answers can be answered later. */
class ScriptedExporter implements SpanExporter {
  readonly received: ReadableSpan[] = [];
  readonly unanswered: (() => void)[] = [];
  #answer: Answer;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.received.push(...spans);
    const succeed = (): void => done({ code: ExportResultCode.SUCCESS });
    if (this.#answer === 'success') succeed();
    if (this.#answer === 'failure') done({ code: ExportResultCode.FAILED, error: new Error('unavailable') });
    if (this.#answer === 'never') this.unanswered.push(succeed);
  }

  recover(): void {
    this.#answer = 'success';
    for (const succeed of this.unanswered.splice(0)) succeed();
  }

  async shutdown(): Promise<void> {}
}

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map(close => close()));
});

function aPipeline(answer: Answer, { sampled = true } = {}) {
  const exporter = new ScriptedExporter(answer);
  const dropped: Record<string, number> = {};
  const failures: unknown[] = [];
  const pipeline = new SpanPipeline({
    exporter,
    maxQueueSize: 20,
    batching: { maxExportBatchSize: 10, scheduledDelayMillis: 60_000 },
    onDropped: (reason, count) => {
      dropped[reason] = (dropped[reason] ?? 0) + count;
    },
    onExportFailed: error => failures.push(error),
  });
  const options = sampled ? {} : { sampler: new AlwaysOffSampler() };
  const tracer = new TracerProvider({ spanProcessors: [pipeline], ...options }).getTracer('test');
  const end = (count: number): void => {
    for (let spans = 0; spans < count; spans++) tracer.startSpan('s').end();
  };
  closing.push(() => {
    exporter.recover();
    return pipeline.shutdown();
  });
  return { exporter, pipeline, dropped, failures, end };
}

describe('the pipeline', () => {
  test('delivers every span when flushed', async () => {
    const { exporter, pipeline, dropped, end } = aPipeline('success');
    end(15);
    await pipeline.forceFlush();
    expect(exporter.received).toHaveLength(15);
    expect(dropped).toEqual({});
    expect(pipeline.pending).toBe(0);
  });

  test('keeps at most the batch on its way and a full queue for a collector that hangs', async () => {
    const { exporter, pipeline, dropped, end } = aPipeline('never');
    end(1_000);
    expect(exporter.received).toHaveLength(10);
    expect(pipeline.pending).toBe(30);
    expect(dropped).toEqual({ queue_full: 970 });
  });

  test('goes on when a collector that hung answers', async () => {
    const { exporter, pipeline, dropped, end } = aPipeline('never');
    end(30);
    exporter.unanswered.shift()?.();
    await expect.poll(() => exporter.received.length).toBe(20);
    end(10);
    expect(dropped).toEqual({});
    expect(pipeline.pending).toBe(30);
  });

  test('counts what a collector refuses and says why, without failing the flush', async () => {
    const { pipeline, dropped, failures, end } = aPipeline('failure');
    end(15);
    await pipeline.forceFlush();
    expect(dropped).toEqual({ export_failed: 15 });
    expect(failures).toEqual([new Error('unavailable'), new Error('unavailable')]);
    expect(pipeline.pending).toBe(0);
  });

  test('loses count of nothing: delivered, dropped and pending are all there is', async () => {
    const { exporter, pipeline, dropped, end } = aPipeline('never');
    end(57);
    for (let answers = 0; answers < 2; answers++) {
      exporter.unanswered.shift()?.();
      await expect.poll(() => exporter.unanswered.length).toBe(1);
    }
    const delivered = exporter.received.length - 10;
    expect(delivered + pipeline.pending + (dropped.queue_full ?? 0)).toBe(57);
  });

  test('has nothing to do with a span that is not sampled', async () => {
    const { exporter, pipeline, end } = aPipeline('success', { sampled: false });
    end(5);
    await pipeline.forceFlush();
    expect(exporter.received).toHaveLength(0);
  });
});
