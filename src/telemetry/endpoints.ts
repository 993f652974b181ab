import { type HttpServer, type Page, startHttpServer } from './http-server.ts';
import type { Logger } from './logger.ts';
import { type Checks, probePage } from './probes.ts';
import { PROMETHEUS_TEXT } from './prometheus.ts';

export interface EndpointOptions {
  /** Address to bind to: all interfaces in a Pod, loopback on a workstation. */
  readonly host: string;
  /** 0: any free one, which is logged. */
  readonly port: number;
  readonly logger: Logger;
}

/**
 * Serves `/livez` and `/readyz`, both with `?verbose`, and `/healthz` as another name of `/livez`. The checks are
 * asked for at each request, since there are more of them once the operator has started.
 *
 * @throws TerminalError `PORT_UNAVAILABLE`, naming the setting.
 */
export async function serveProbes(
  options: EndpointOptions & { readonly livez: () => Checks; readonly readyz: () => Checks },
): Promise<HttpServer> {
  const { host, port, logger, livez, readyz } = options;
  const alive: Page = url => probePage('livez', livez())(url);
  const ready: Page = url => probePage('readyz', readyz())(url);
  const pages = { '/livez': alive, '/healthz': alive, '/readyz': ready };
  const server = await startHttpServer({ host, port, setting: 'PROCONSUL_PROBE_PORT', pages });
  logger.info({ port: server.port }, 'probes listening');
  return server;
}

/**
 * Serves `/metrics` in Prometheus' text format.
 *
 * @throws TerminalError `PORT_UNAVAILABLE`, naming the setting.
 */
export async function serveMetrics(
  options: EndpointOptions & { readonly scrape: () => Promise<string> },
): Promise<HttpServer> {
  const { host, port, logger, scrape } = options;
  const server = await startHttpServer({
    host,
    port,
    setting: 'PROCONSUL_METRICS_PORT',
    pages: { '/metrics': async () => ({ status: 200, body: await scrape(), contentType: PROMETHEUS_TEXT }) },
    onError: err => logger.error({ err }, 'metrics could not be collected'),
  });
  logger.info({ port: server.port }, 'metrics listening');
  return server;
}
