import type { Clock } from '../core/clock.ts';
import type { Access, AccessSource } from './access.ts';
import { openKubeconfig } from './kubeconfig.ts';
import { ACCOUNT_FOLDER, isInPod, openPodAccount } from './pod-account.ts';

export interface CredentialsOptions {
  readonly clock: Clock;
  /** Paths as in `KUBECONFIG`; undefined: the environment's own, then ~/.kube/config, then the Pod's account. */
  readonly kubeconfig?: string | undefined;
  /** Where a Pod finds its account; only tests set it. */
  readonly accountFolder?: string | undefined;
}

/** Token, certificate and CA files are read again after this long, as client-go does. */
const REREAD_AFTER_MS = 60_000;

/**
 * Who we are to the API server, and how we know it: from the kubeconfig or the Pod's account, read again every
 * minute and whenever the server does not accept it.
 */
export class Credentials {
  readonly server: URL;
  readonly contextNamespace: string | undefined;
  readonly #clock: Clock;
  #source: AccessSource;
  #access: Access | undefined;
  #readAt = 0;
  #reading: Promise<Access> | undefined;

  /** @throws TerminalError (`KUBE_CONFIG`) naming the file or the field that is wrong. */
  constructor({ clock, kubeconfig, accountFolder = ACCOUNT_FOLDER }: CredentialsOptions) {
    this.#clock = clock;
    const useAccount = !kubeconfig && isInPod(process.env, accountFolder);
    this.#source = useAccount ? openPodAccount(process.env, accountFolder) : openKubeconfig(kubeconfig);
    this.server = this.#source.server;
    this.contextNamespace = this.#source.contextNamespace;
  }

  async access(): Promise<Access> {
    const fresh = this.#clock.monotonic() - this.#readAt < REREAD_AFTER_MS;
    return this.#access !== undefined && fresh ? this.#access : this.#reread();
  }

  /** Reads everything afresh after `refused` met a 401, unless another request has done so meanwhile. */
  async renew(refused: Access): Promise<void> {
    if (this.#access === refused || this.#access === undefined) await this.#reread({ afterRefusal: true });
  }

  /** One reading at a time; what was known stays in use when a file is away for a moment, as in a rotation. */
  #reread(options = { afterRefusal: false }): Promise<Access> {
    this.#reading ??= this.#read(options.afterRefusal)
      .catch((error: unknown) => {
        if (this.#access === undefined) throw error;
        return this.#access;
      })
      .then(access => {
        this.#access = access;
        this.#readAt = this.#clock.monotonic();
        return access;
      })
      .finally(() => {
        this.#reading = undefined;
      });
    return this.#reading;
  }

  async #read(afterRefusal: boolean): Promise<Access> {
    const renewed = this.#source.renewed(afterRefusal);
    if (renewed.server.href === this.server.href) this.#source = renewed;
    return this.#source.readAccess();
  }
}
