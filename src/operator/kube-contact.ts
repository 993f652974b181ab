import type { Clock } from '../core/clock.ts';
import { AbortedError } from '../core/errors.ts';
import { pause } from '../core/pause.ts';
import { type KubeClient, type KubeRequest, kubeStatus } from '../kube/index.ts';

/** From an answer that did not come to asking on purpose, and between two such questions. */
const ASK_EVERY_MS = 5000;
const ASK_DEADLINE_MS = 5000;

/**
 * Whether the API server can be asked by this process, judged by the requests that are made anyway. Once one stays
 * without an answer, it is asked on purpose until it answers: an install at rest may make no other request for minutes,
 * and must not take one lost Event for an outage. What comes on open watches does not count: they may go on where no
 * new request gets through.
 */
export class KubeContact {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #lostAtMs: number | undefined;
  #isAsking = false;

  /** @param signal ends the asking. */
  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  /** Since the first request without an answer, of whatever kind; 0 while the last was answered. */
  get lostForMs(): number {
    return this.#lostAtMs === undefined ? 0 : this.#clock.monotonic() - this.#lostAtMs;
  }

  /** The same client, judged. */
  observe(client: KubeClient): KubeClient {
    const judged: KubeClient = {
      host: client.host,
      contextNamespace: client.contextNamespace,
      request: request => this.#judge(client.request(request), judged),
      stream: request => this.#judge(client.stream(request), judged),
      close: () => client.close(),
    };
    return judged;
  }

  async #judge<T>(exchange: Promise<T>, client: KubeClient): Promise<T> {
    try {
      const answer = await exchange;
      this.#lostAtMs = undefined;
      return answer;
    } catch (error) {
      // A refusal is an answer, too; and what was aborted tells nothing.
      if (kubeStatus(error) !== undefined) this.#lostAtMs = undefined;
      else if (!(error instanceof AbortedError)) this.#lose(client);
      throw error;
    }
  }

  #lose(client: KubeClient): void {
    this.#lostAtMs ??= this.#clock.monotonic();
    if (!this.#isAsking) void this.#ask(client);
  }

  /** Never rejects. */
  async #ask(client: KubeClient): Promise<void> {
    // Whoever may reach the API server may ask for this.
    const question: KubeRequest = {
      method: 'GET',
      path: '/version',
      signal: this.#signal,
      deadlineMs: ASK_DEADLINE_MS,
    };
    this.#isAsking = true;
    for (;;) {
      await pause(this.#clock, ASK_EVERY_MS, this.#signal);
      if (this.#lostAtMs === undefined || this.#signal.aborted) break;
      await client.request(question).catch(() => undefined);
    }
    this.#isAsking = false;
  }
}
