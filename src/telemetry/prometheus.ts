import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import type { Resource } from '@opentelemetry/resources';
import { type IMetricReader, MeterProvider } from '@opentelemetry/sdk-metrics';
import { SCOPE } from './names.ts';
import type { Meter } from '@opentelemetry/api';

/** The content type of Prometheus' text format. */
export const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8';

export interface Metering {
  readonly meter: Meter;
  /** All metrics in Prometheus' text format. */
  scrape(): Promise<string>;
  shutdown(): Promise<void>;
}

/** A meter whose metrics are read by `scrape`, and by `readers` besides. */
export function createMetering(resource: Resource, readers: readonly IMetricReader[]): Metering {
  const reader = new PrometheusExporter({ preventServerStart: true });
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  const provider = new MeterProvider({ resource, readers: [reader, ...readers] });
  return {
    meter: provider.getMeter(SCOPE),
    scrape: async () => {
      const { resourceMetrics, errors } = await reader.collect();
      if (errors.length > 0) throw new AggregateError(errors, 'metrics could not be collected');
      return serializer.serialize(resourceMetrics);
    },
    shutdown: () => provider.shutdown(),
  };
}
