import { TerminalError } from '../core/errors.ts';

type Signal = 'TRACES' | 'METRICS';

/**
 * Which signals are exported over OTLP. Traces: when an endpoint is set. Metrics: only if
 * `OTEL_METRICS_EXPORTER=otlp` asks for it besides, since they are scraped already and most would store them twice.
 *
 * @throws TerminalError `SETTING_INVALID` when an endpoint is no URL; the message does not repeat it, as it may
 * hold a password.
 */
export function exportedSignals(env: NodeJS.ProcessEnv): {
  readonly traces: boolean;
  readonly metrics: boolean;
} {
  if (isTrue(env.OTEL_SDK_DISABLED)) return { traces: false, metrics: false };
  const exporters = (name: string): string[] => (env[name] ?? '').split(',').map(exporter => exporter.trim());
  return {
    traces: hasEndpoint(env, 'TRACES') && !exporters('OTEL_TRACES_EXPORTER').includes('none'),
    metrics: hasEndpoint(env, 'METRICS') && exporters('OTEL_METRICS_EXPORTER').includes('otlp'),
  };
}

function hasEndpoint(env: NodeJS.ProcessEnv, signal: Signal): boolean {
  const settings = [`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`, 'OTEL_EXPORTER_OTLP_ENDPOINT'];
  const setting = settings.find(name => (env[name]?.trim() ?? '') !== '');
  if (setting === undefined) return false;
  const endpoint = env[setting]?.trim() ?? '';
  const url = /^\w{1,8}:\/\//.test(endpoint) ? endpoint : `https://${endpoint}`;
  if (URL.canParse(url)) return true;
  throw new TerminalError(`${setting} is not a URL; an example of one is http://collector:4317`, {
    code: 'SETTING_INVALID',
    reason: 'InvalidSpec',
  });
}

function isTrue(text: string | undefined): boolean {
  return text?.trim().toLowerCase() === 'true';
}
