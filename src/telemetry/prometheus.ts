import type { Meter } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import type { Resource } from '@opentelemetry/resources';
import { type IMetricReader, MeterProvider } from '@opentelemetry/sdk-metrics';
import { SCOPE } from './names.ts';

/** The content type of Prometheus' text format. */
export const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8';

export interface Metering {
  readonly meter: Meter;
  /** All metrics in Prometheus' text format. */
  scrape(): Promise<string>;
  shutdown(): Promise<void>;
}

export interface MeteringOptions {
  readonly resource: Resource;
  /** Others that read the metrics. */
  readonly readers: readonly IMetricReader[];
  /** A metric could not be read; the others are shown all the same. */
  readonly onError: (error: unknown) => void;
}

/** A meter whose metrics `scrape` reads. */
export function createMetering({ resource, readers, onError }: MeteringOptions): Metering {
  const reader = new PrometheusExporter({ preventServerStart: true });
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  const provider = new MeterProvider({ resource, readers: [reader, ...readers] });
  return {
    meter: provider.getMeter(SCOPE),
    scrape: async () => {
      const { resourceMetrics, errors } = await reader.collect();
      errors.forEach(onError);
      return serializer.serialize(resourceMetrics);
    },
    shutdown: () => provider.shutdown(),
  };
}
