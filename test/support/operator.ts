import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { http, type HttpReply } from '../../tools/sandbox/http.ts';
import { writeKubeconfig } from '../../tools/sandbox/kubeconfig.ts';
import { COMPILE_CACHE, NODE_FLAGS } from '../../tools/node-flags.ts';
import { startWatchdog, type Watchdog } from '../../tools/sandbox/watchdog.ts';
import { eventually } from './eventually.ts';

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface OperatorOptions {
  /** API server or a proxy before it. */
  readonly server: string;
  readonly caFile?: string;
  readonly token: string;
  readonly consulAddress: string;
  /** Further settings; `undefined` takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A command other than to run, such as `release`. */
  readonly args?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * The real operator as its users run it: `node src/main.ts` with settings from the environment alone. It dies with
 * the test at the latest: by `await using`, or with the test's process.
 */
export class Operator {
  /** Parsed lines of standard output, as they come. */
  readonly logs: LogLine[] = [];
  /** Lines of either stream that are not JSON: there should be none. */
  readonly strays: string[] = [];
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #watchdog: Watchdog;
  #exit: Exit | undefined;

  private constructor(child: ChildProcess, watchdog: Watchdog) {
    this.#child = child;
    this.#watchdog = watchdog;
    if (child.pid !== undefined) watchdog.guard(child.pid);
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', line => this.#take(line));
    }
    this.exited = once(child, 'close').then(([code, signal]) => {
      this.#exit = { code: code as number | null, signal: signal as NodeJS.Signals | null };
      if (child.pid !== undefined) watchdog.forget(child.pid);
      void watchdog.close(); // the folder goes with the process
      return this.#exit;
    });
  }

  /** Spawns it; `ready()` waits. */
  static async start(options: OperatorOptions): Promise<Operator> {
    const folder = mkdtempSync(join(tmpdir(), 'proconsul-operator-'));
    const watchdog = startWatchdog(folder);
    const kubeconfig = join(folder, 'kubeconfig');
    const { server, caFile, token, consulAddress, env, args = [] } = options;
    await writeKubeconfig(kubeconfig, { server, token, ...(caFile !== undefined && { caFile }) });
    const child = spawn(process.execPath, [...NODE_FLAGS, 'src/main.ts', ...args], {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        NODE_COMPILE_CACHE: COMPILE_CACHE,
        LOG_LEVEL: 'debug',
        PROCONSUL_PROBE_PORT: '0',
        PROCONSUL_METRICS_PORT: '0',
        KUBECONFIG: kubeconfig,
        CONSUL_HTTP_ADDR: consulAddress,
        ...env,
      },
    });
    return new Operator(child, watchdog);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when `/readyz` says so. @throws Error with the last logs when it does not, or when the process ends. */
  async ready(timeoutMs = 30_000): Promise<void> {
    const last = { reply: undefined as HttpReply | undefined };
    const isReady = async () => {
      if (this.#exit) return true;
      last.reply = await this.probe('/readyz?verbose');
      return last.reply.status === 200;
    };
    const whatHappened = () => `${last.reply?.body.toString() ?? 'no answer'}\n${this.tail()}`;
    await eventually(isReady, { what: 'the operator ready', timeoutMs }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${whatHappened()}`);
    });
    if (this.#exit) throw new Error(`the operator ended (${JSON.stringify(this.#exit)})\n${this.tail()}`);
  }

  /** An answer of the probe listener: `/livez`, `/readyz`. */
  async probe(path: string): Promise<HttpReply> {
    return http(`http://127.0.0.1:${this.port('probes listening')}`, path, { timeoutMs: 5000 });
  }

  /** The text of `/metrics`. */
  async metrics(): Promise<string> {
    return (await http(`http://127.0.0.1:${this.port('metrics listening')}`, '/metrics')).body.toString();
  }

  /** The `port` of the log line that announces a listener. */
  port(announcement: 'probes listening' | 'metrics listening'): number {
    const port = this.logs.find(line => line.msg === announcement)?.port;
    if (typeof port !== 'number') throw new Error(`no log line "${announcement}" yet`);
    return port;
  }

  /** The first log line that matches, now or when it comes. */
  async waitForLog(matches: (line: LogLine) => boolean, what = String(matches)): Promise<LogLine> {
    await eventually(() => this.logs.some(matches), { what: `a log line that matches ${what}` });
    return this.logs.find(matches) as LogLine;
  }

  /** Sends a signal and does not wait. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async waitForExit(timeoutMs = 30_000): Promise<Exit> {
    await eventually(() => this.#exit !== undefined, {
      what: `the operator's end\n${this.tail()}`,
      timeoutMs,
    });
    return this.exited;
  }

  /** SIGTERM, and how it ended. */
  async stop(): Promise<Exit> {
    this.kill('SIGTERM');
    return this.waitForExit();
  }

  /** kill -9, and the end. */
  async crash(): Promise<void> {
    this.kill('SIGKILL');
    await this.exited;
  }

  /** The last lines it wrote. */
  tail(lines = 30): string {
    return [...this.strays, ...this.logs.slice(-lines).map(line => JSON.stringify(line))].join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watchdog.close();
    await this.exited;
  }

  #take(line: string): void {
    try {
      this.logs.push(JSON.parse(line) as LogLine);
    } catch {
      this.strays.push(line);
    }
  }
}
