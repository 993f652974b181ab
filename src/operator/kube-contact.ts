import type { Clock } from '../core/clock.ts';
import { AbortedError } from '../core/errors.ts';
import { type KubeClient, kubeStatus } from '../kube/index.ts';

/** Whether the API server is within reach of this process, judged by the requests that are made anyway. */
export class KubeContact {
  readonly #clock: Pick<Clock, 'monotonic'>;
  #lostAtMs: number | undefined;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Since the first request without an answer, of whatever kind; 0 while the last was answered. */
  get lostForMs(): number {
    return this.#lostAtMs === undefined ? 0 : this.#clock.monotonic() - this.#lostAtMs;
  }

  /** The same client, judged. */
  observe(client: KubeClient): KubeClient {
    return {
      host: client.host,
      contextNamespace: client.contextNamespace,
      request: request => this.#judge(client.request(request)),
      stream: request => this.#judge(client.stream(request)),
      close: () => client.close(),
    };
  }

  async #judge<T>(exchange: Promise<T>): Promise<T> {
    try {
      const answer = await exchange;
      this.#lostAtMs = undefined;
      return answer;
    } catch (error) {
      // A refusal is an answer, too; and what was aborted tells nothing.
      if (kubeStatus(error) !== undefined) this.#lostAtMs = undefined;
      else if (!(error instanceof AbortedError)) this.#lostAtMs ??= this.#clock.monotonic();
      throw error;
    }
  }
}
