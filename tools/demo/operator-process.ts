import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { COMPILE_CACHE, NODE_FLAGS } from '../node-flags.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** The operator as a child process, its log in the sandbox's folder. It ends with this process at the latest. */
export interface OperatorProcess {
  readonly logFile: string;
  /** Settles when the operator ends, which it should not do by itself. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

export function startOperatorProcess(sandbox: Sandbox): OperatorProcess {
  const logFile = join(sandbox.folder, 'operator.log');
  const log = openSync(logFile, 'a');
  const child = spawn(process.execPath, [...NODE_FLAGS, MAIN], {
    detached: true,
    stdio: ['ignore', log, log],
    env: {
      NODE_COMPILE_CACHE: COMPILE_CACHE,
      ...process.env,
      KUBECONFIG: sandbox.kubeconfigPath,
      CONSUL_HTTP_ADDR: sandbox.consulAddress,
      PROCONSUL_PROBE_PORT: '0',
      PROCONSUL_METRICS_PORT: '0',
    },
  });
  closeSync(log);
  if (child.pid !== undefined) sandbox.guard(child.pid);
  const exited = once(child, 'exit');
  return {
    logFile,
    ended: exited.then(([code, signal]) => `the operator ended (${code ?? signal})\n${lastLines(logFile)}`),
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

function lastLines(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-10).join('\n');
}
