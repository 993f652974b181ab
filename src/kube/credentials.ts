import { createHash } from 'node:crypto';
import type { AgentOptions } from 'node:https';
import { delimiter } from 'node:path';
import { type Cluster, KubeConfig, type RequestContext } from '@kubernetes/client-node';
import type { Clock } from '../core/clock.ts';
import { messageOf } from '../core/errors.ts';
import { kubeError } from './errors.ts';
import type { TlsMaterial } from './transport.ts';

/** What one request needs to be let in. */
export interface Access {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsMaterial;
  /** Equal as long as `tls` is: connections made under another one must not be used any more. */
  readonly tlsFingerprint: string;
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
  readonly #kubeconfig: string | undefined;
  #config: CapturingKubeConfig;
  #access: Access | undefined;
  #readAt = 0;
  #reading: Promise<Access> | undefined;

  /** @throws TerminalError (`KUBE_CONFIG`) naming the file or the field that is wrong. */
  constructor(clock: Clock, kubeconfig: string | undefined) {
    this.#clock = clock;
    this.#kubeconfig = kubeconfig;
    this.#config = loadKubeConfig(kubeconfig);
    this.server = serverOf(this.#config);
    this.contextNamespace = this.#config
      .getContextObject(this.#config.getCurrentContext())
      ?.namespace?.trim();
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
    // A new KubeConfig has no cached token; an exec plugin's cache is kept, as running it is slow and it knows
    // its own expiry.
    if (afterRefusal || this.#config.getCurrentUser()?.exec == null) {
      const config = loadKubeConfig(this.#kubeconfig);
      if (serverOf(config).href === this.server.href) this.#config = config;
    }
    try {
      return await this.#config.readAccess();
    } catch (error) {
      throw unusable(error);
    }
  }
}

/**
 * client-node resolves users, files, exec plugins and impersonation, and would then build a new dispatcher for
 * every request (kubernetes-client.md §3.2). Both methods it offers for that are public: one hands out the
 * headers, the other the TLS options.
 */
class CapturingKubeConfig extends KubeConfig {
  #tlsOptions: AgentOptions = {};

  override createDispatcherOptions(_cluster: Cluster | null, agentOptions: AgentOptions): { type: 'none' } {
    this.#tlsOptions = agentOptions;
    return { type: 'none' };
  }

  async readAccess(): Promise<Access> {
    const headers: Record<string, string> = {};
    const setHeaderParam = (name: string, value: string): void => {
      headers[name.toLowerCase()] = value.trim();
    };
    await this.applySecurityAuthentication({ setHeaderParam } as RequestContext);
    const { ca, cert, key, passphrase, rejectUnauthorized, servername } = this.#tlsOptions;
    const all = { ca, cert, key, passphrase, rejectUnauthorized, servername };
    const tls = Object.fromEntries(
      Object.entries(all).filter(([, value]) => value !== undefined),
    ) as TlsMaterial;
    const tlsFingerprint = createHash('sha256').update(JSON.stringify(tls)).digest('hex');
    return { headers, tls, tlsFingerprint };
  }
}

function loadKubeConfig(kubeconfig: string | undefined): CapturingKubeConfig {
  const config = new CapturingKubeConfig();
  try {
    const [first, ...others] = (kubeconfig ?? '').split(delimiter).filter(file => file !== '');
    if (first === undefined) config.loadFromDefault();
    else config.loadFromFile(first);
    for (const file of others) {
      const other = new KubeConfig();
      other.loadFromFile(file);
      config.mergeConfig(other, true);
    }
  } catch (error) {
    throw unusable(error);
  }
  return config;
}

function serverOf(config: KubeConfig): URL {
  const context = config.getCurrentContext();
  const cluster = config.getCurrentCluster();
  // What client-node makes up when it finds neither a kubeconfig nor a Pod's account.
  if (context === 'loaded-context') throw kubeError('KUBE_CONFIG', 'no kubeconfig found: set KUBECONFIG');
  if (cluster === null)
    throw kubeError('KUBE_CONFIG', `kubeconfig: the current context ${context} has no cluster`);
  if (cluster.proxyUrl) throw kubeError('KUBE_CONFIG', 'kubeconfig: proxy-url is not supported');
  if (!URL.canParse(cluster.server))
    throw kubeError('KUBE_CONFIG', `kubeconfig: ${cluster.server} is no URL`);
  return new URL(cluster.server);
}

/** The first line only, and no cause: the YAML parser quotes the file, tokens included, further down. */
function unusable(error: unknown): Error {
  return kubeError('KUBE_CONFIG', `kubeconfig: ${messageOf(error).split('\n', 1)[0]}`);
}
