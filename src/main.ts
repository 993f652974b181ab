import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { defaultInstallId } from './config/install-id.ts';
import { type Config, parseConfig } from './config/config.ts';
import { TerminalError } from './core/errors.ts';
import { createKubeClient, type KubeClient, ownNamespace, readClusterUid } from './kube/index.ts';
import { type Operator, startOperator } from './operator/operator.ts';
import { installShutdown, type Shutdown, shutdownSteps } from './runtime/shutdown.ts';
import { systemClock } from './runtime/system-clock.ts';
import { createEventLoopMonitor, eventLoopCheck } from './telemetry/event-loop.ts';
import { serveMetrics, serveProbes } from './telemetry/endpoints.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';
import type { Checks } from './telemetry/probes.ts';
import { observeProcess } from './telemetry/process-metrics.ts';
import { startTelemetry, type Telemetry } from './telemetry/sdk.ts';
import { VERSION } from './version.ts';

const clock = systemClock;
const random = Math.random;
const LOOP_LAG_LIMIT_MS = 10_000;
/** Less than the flush step of the shutdown has, so that a hanging collector is given up in order. */
const FLUSH_MS = 1_500;

await main(process.argv.slice(2)).catch((error: unknown) => {
  // One line for people; what they can do about it is in the message.
  process.stderr.write(`proconsul: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});

async function main(args: readonly string[]): Promise<void> {
  const parsed = parseConfig(process.env);
  if (!parsed.ok) throw new TerminalError(parsed.problem, { code: 'SETTING_INVALID', reason: 'InvalidSpec' });
  const { config } = parsed;
  const instance = config.pod.name ?? hostname();
  const logger = createLogger({ level: config.logLevel, base: { version: VERSION, instance } });
  const [command = 'run', ...rest] = args;
  if (rest.length > 0 || (command !== 'run' && command !== 'release')) {
    throw new TerminalError(`unknown command ${args.join(' ')}: use run (the default) or release`, {
      code: 'COMMAND_UNKNOWN',
      reason: 'InvalidSpec',
    });
  }
  await (command === 'release' ? release(config, instance, logger) : run(config, instance, logger));
}

async function run(config: Config, instance: string, logger: Logger): Promise<void> {
  const startedAtMs = clock.now();
  const telemetry = await startTelemetry({
    env: process.env,
    identity: {
      version: VERSION,
      instanceId: config.pod.uid ?? randomUUID(),
      podName: config.pod.name,
      podUid: config.pod.uid,
      namespace: config.pod.namespace,
    },
    logger,
    clock,
  });
  const { metrics } = telemetry;
  const eventLoop = createEventLoopMonitor(clock);
  observeProcess(metrics.instruments, { version: VERSION, eventLoop, startedAtMs });

  const client = createKubeClient({
    clock,
    userAgent: `proconsul/${VERSION}`,
    onRequest: metrics.kubeRequest,
  });
  const namespace = ownNamespace({
    podNamespace: config.pod.namespace,
    contextNamespace: client.contextNamespace,
  });
  const state: ProcessState = { operator: undefined, stopping: false };
  await listen(config, telemetry, state, logger, {
    'event-loop': eventLoopCheck(eventLoop.openWindow(), LOOP_LAG_LIMIT_MS),
  });
  const shutdown = stopOnSignal(state, telemetry, logger);

  const installId = await identify(config, client, namespace);
  const log = logger.child({ installId });
  log.info({ namespace, address: config.consul.addresses.join(',') }, 'starting');
  state.operator = startOperator({
    config,
    installId,
    namespace,
    instance,
    client,
    clock,
    random,
    logger: log,
    metrics,
    onFatal: error => {
      log.fatal({ err: error }, 'the operator cannot go on');
      shutdown.begin('a fatal error', 1);
    },
  });
}

interface ProcessState {
  operator: Operator | undefined;
  stopping: boolean;
}

/** The install's id: set, or derived from the cluster, which must then be known. */
async function identify(config: Config, client: KubeClient, namespace: string): Promise<string> {
  if (config.install.id !== undefined) return config.install.id;
  const { release } = config.install;
  try {
    const kubeSystemUid = await readClusterUid(client, AbortSignal.timeout(30_000));
    return defaultInstallId({ kubeSystemUid, namespace, release });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TerminalError(
      `the uid of namespace kube-system, which identifies this install, cannot be read (${why}): set PROCONSUL_INSTALL_ID`,
      {
        code: 'INSTALL_ID_UNKNOWN',
        reason: 'InvalidSpec',
        cause: error,
      },
    );
  }
}

async function listen(
  config: Config,
  telemetry: Telemetry,
  state: ProcessState,
  logger: Logger,
  liveness: Checks,
): Promise<void> {
  const host = config.bindAddress;
  const readiness: Checks = {
    started: () => (state.operator === undefined ? 'the operator is still starting' : undefined),
    'not-stopping': () => (state.stopping ? 'the process is shutting down' : undefined),
  };
  await serveProbes({
    host,
    port: config.probePort,
    logger,
    livez: () => ({ ...liveness, ...state.operator?.liveness }),
    readyz: () => ({ ...readiness, ...state.operator?.readiness }),
  });
  await serveMetrics({ host, port: config.metricsPort, logger, scrape: () => telemetry.scrape() });
}

function stopOnSignal(state: ProcessState, telemetry: Telemetry, logger: Logger): Shutdown {
  const steps = shutdownSteps({
    unready: () => {
      state.stopping = true;
    },
    stopIntake: () => state.operator?.stopIntake(),
    drain: async signal => state.operator?.drain(signal),
    abort: async signal => state.operator?.abort(signal),
    releaseLock: async signal => state.operator?.releaseLock(signal),
    flush: async signal => {
      await Promise.all([state.operator?.flush(signal), telemetry.shutdown(FLUSH_MS)]);
    },
  });
  return installShutdown({
    steps,
    clock,
    signals: process,
    exit: code => process.exit(code),
    log: {
      began: cause => logger.info({ signal: cause }, 'shutting down'),
      finished: (step, tookMs) => logger.debug({ phase: step, durationMs: tookMs }, 'shutdown step done'),
      cut: (step, budgetMs) =>
        logger.warn({ phase: step, durationMs: budgetMs }, 'shutdown step took too long and was left'),
      failed: (step, thrown) => logger.warn({ phase: step, err: thrown }, 'shutdown step failed'),
    },
  });
}

async function release(config: Config, instance: string, logger: Logger): Promise<void> {
  const { releaseInstall } = await import('./operator/release.ts');
  const client = createKubeClient({ clock, userAgent: `proconsul/${VERSION}` });
  const namespace = ownNamespace({
    podNamespace: config.pod.namespace,
    contextNamespace: client.contextNamespace,
  });
  const installId = await identify(config, client, namespace);
  await releaseInstall({
    config,
    client,
    installId,
    install: { cluster: undefined, namespace, release: config.install.release },
    instance,
    clock,
    random,
    logger: logger.child({ installId }),
  });
}
