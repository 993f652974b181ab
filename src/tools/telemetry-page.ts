import { ATTRIBUTES, LOG_FIELDS, METRICS, RESOURCE_ATTRIBUTES, SPANS } from '../telemetry/names.ts';
import { catalogueTable, code, generatedPage, markdownTable } from './markdown.ts';

/** `docs/metrics.md`: every name that metrics, logs and traces show. */
export function telemetryPage(): string {
  const metrics = Object.values(METRICS).map(({ name, kind, labels, description }) => {
    return [code(name), kind, labels.map(code).join(', '), description];
  });
  return generatedPage(
    'Metrics, logs and traces',
    'All names that the operator shows to the outside. Where controller-runtime or client-go have a name for the same thing, it is theirs, so that dashboards made for other operators work.',
    '## Metrics',
    'On `/metrics`, in the format of Prometheus. Labels never name a single object.',
    markdownTable(['Metric', 'Type', 'Labels', 'Meaning'], metrics),
    '## Log fields',
    'One JSON object a line. `msg` is constant text; what differs stands in these fields. A field that is not in this list is printed as `[redacted]`.',
    catalogueTable('Field', LOG_FIELDS),
    '## Spans',
    `One trace a reconcile, sent by OTLP over gRPC when \`OTEL_EXPORTER_OTLP_ENDPOINT\` is set. Spans: ${list(SPANS)}. Attributes: ${list(ATTRIBUTES)}. Resource attributes: ${list(RESOURCE_ATTRIBUTES)}.`,
  );
}

function list(names: Readonly<Record<string, string>>): string {
  return Object.values(names).map(code).join(', ');
}
