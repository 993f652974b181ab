import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { type IMetricReader, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';

/**
 * Pushes all metrics every minute by OTLP over gRPC, to what `OTEL_EXPORTER_OTLP_…` names. Pulls in gRPC, so it is
 * imported only when asked for.
 */
export function createMetricExport(): IMetricReader {
  return new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter() });
}
