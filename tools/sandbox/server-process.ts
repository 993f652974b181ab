import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Workspace } from './workspace.ts';

export interface ServerSpec {
  /** Unique in its workspace; names the log file. */
  readonly name: string;
  readonly binary: string;
  readonly args: readonly string[];
  /** True once the server does its work; false or an error: not yet. */
  readonly isReady: () => Promise<boolean>;
  readonly readyWithinMs?: number;
}

const readyWithinMs = 60_000;
const stopWithinMs = 15_000;

/** A server as a child process: started and stopped as often as wanted, on the same ports and files. */
export class ServerProcess {
  readonly logFile: string;
  readonly #spec: ServerSpec;
  readonly #workspace: Workspace;
  #child: ChildProcess | undefined;

  constructor(workspace: Workspace, spec: ServerSpec) {
    this.#workspace = workspace;
    this.#spec = spec;
    this.logFile = join(workspace.folder, `${spec.name}.log`);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the server is ready. @throws Error with the end of its log when it ends or is not ready in time. */
  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`${this.#spec.name} is running`);
    this.launch();
    await this.ready();
  }

  /** Starts the program and does not wait. */
  launch(): void {
    const { name, binary, args } = this.#spec;
    // Nothing would end a server started now: one that starts beside another that failed comes here late.
    if (this.#workspace.closing) throw new Error(`${name} not started: the sandbox is closing`);
    const log = openSync(this.logFile, 'a');
    const child = spawn(binary, [...args], {
      cwd: this.#workspace.folder,
      detached: true, // a Ctrl-C in the terminal is ours to handle, in order
      env: { PATH: process.env.PATH, HOME: this.#workspace.folder },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const { pid } = child;
    if (pid !== undefined) this.#workspace.watchdog.guard(pid);
    this.#child = child;
    child.once('error', () => this.#gone(child)); // not spawned at all
    child.once('exit', () => {
      if (pid !== undefined) this.#workspace.watchdog.forget(pid);
      this.#gone(child);
    });
  }

  #gone(child: ChildProcess): void {
    if (this.#child === child) this.#child = undefined;
  }

  /** Resolves when the server does its work; also after a `SIGCONT`. */
  async ready(): Promise<void> {
    const { name, isReady, readyWithinMs: withinMs = readyWithinMs } = this.#spec;
    const deadline = performance.now() + withinMs;
    for (;;) {
      if (this.#child === undefined) throw new Error(`${name} ended before it was ready\n${this.logTail()}`);
      if (await isReady().catch(() => false)) return;
      if (performance.now() > deadline)
        throw new Error(`${name} not ready in ${withinMs} ms\n${this.logTail()}`);
      await delay(25);
    }
  }

  /** Sends a signal; resolves when the process has ended, or at once for a signal that ends nothing. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await ended;
  }

  /** Ends it the polite way, and by force when it takes too long. */
  async stop(): Promise<void> {
    const force = setTimeout(() => void this.kill('SIGKILL'), stopWithinMs);
    await this.kill('SIGTERM');
    clearTimeout(force);
  }

  /** The last lines it wrote. */
  logTail(lines = 20): string {
    if (!existsSync(this.logFile)) return '(no log)';
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  }
}
