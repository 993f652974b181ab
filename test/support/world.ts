import { randomUUID } from 'node:crypto';
import { expect, inject } from 'vitest';
import { ConsulApi } from './consul-api.ts';
import { installCrds } from './crds.ts';
import { eventually } from './eventually.ts';
import { FaultProxy } from './fault-proxy.ts';
import { KubeApi, type KubeObject } from './kube-api.ts';
import { Operator } from './operator.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** An owner record's key, below `owners/`, and what it says. */
type Records = Readonly<
  Record<string, { readonly onDelete?: string; readonly phase?: string; readonly names: object }>
>;

/** The servers a world stands on. */
export interface WorldServers {
  readonly apiServerUrl: string;
  readonly caFile: string;
  readonly adminToken: string;
  readonly consulAddress: string;
  /** What the test itself shows to Consul; the operator gets its token by its settings. */
  readonly consulToken?: string;
}

interface Clients {
  readonly kube: KubeApi;
  readonly toKube: FaultProxy;
  readonly toConsul: FaultProxy;
}

/**
 * A corner of the shared sandbox for one test file: a namespace, a folder of keys and an operator install that
 * nothing else touches, so that files run side by side. The operator sees both servers through proxies that
 * count; the test asks them directly.
 */
export class World {
  readonly namespace: string;
  readonly installId: string;
  readonly kube: KubeApi;
  readonly consul: ConsulApi;
  readonly toKube: FaultProxy;
  readonly toConsul: FaultProxy;
  readonly #operators: Operator[] = [];

  readonly #adminToken: string;

  private constructor(namespace: string, servers: WorldServers, clients: Clients) {
    this.namespace = namespace;
    this.installId = namespace;
    this.kube = clients.kube;
    this.consul = new ConsulApi({ address: servers.consulAddress, ...definedToken(servers.consulToken) });
    this.toKube = clients.toKube;
    this.toConsul = clients.toConsul;
    this.#adminToken = servers.adminToken;
  }

  /**
   * `topic` begins the namespace's name, which is the install id too. `own`: servers of the test's own in place of
   * the shared ones, for tests that stop, wipe or reconfigure them.
   */
  static async create(topic: string, own: Partial<WorldServers> = {}): Promise<World> {
    const servers: WorldServers = { ...inject('sandbox'), ...own };
    const { apiServerUrl, caFile, adminToken, consulAddress } = servers;
    const kube = new KubeApi({ apiServerUrl, caFile, token: adminToken });
    await installCrds(kube);
    const [namespace, toKube, toConsul] = await Promise.all([
      kube.createNamespace(topic),
      FaultProxy.start({ upstream: apiServerUrl, caFile }),
      FaultProxy.start({ upstream: consulAddress }),
    ]);
    return new World(namespace, servers, { kube, toKube, toConsul });
  }

  /** Starts this install's operator and does not wait for it. `args`: a command other than to run. */
  async spawnOperator(env: Environment = {}, args: readonly string[] = []): Promise<Operator> {
    const operator = await Operator.start({
      server: this.toKube.url,
      token: this.#adminToken,
      consulAddress: this.toConsul.url,
      env: { PROCONSUL_INSTALL_ID: this.installId, PROCONSUL_NAMESPACES: this.namespace, ...env },
      args,
    });
    this.#operators.push(operator);
    return operator;
  }

  async startOperator(env: Environment = {}): Promise<Operator> {
    const operator = await this.spawnOperator(env);
    await operator.ready();
    return operator;
  }

  /** SIGTERM to every operator that runs; resolves when they ended. */
  async stopOperators(): Promise<void> {
    await Promise.all(this.#operators.splice(0).map(operator => operator.stop()));
  }

  /** The key at this path in the world's folder; the folder itself for none. */
  key(path = ''): string {
    return `${this.namespace}/${path}`;
  }

  /** What stands at and beneath a path of the world's folder, by the rest of the path. */
  async stored(path = ''): Promise<Record<string, string>> {
    const texts = await this.consul.kvTexts(this.key(path));
    const below = Object.entries(texts).map(([key, text]) => [key.slice(this.key(path).length), text]);
    return Object.fromEntries(below);
  }

  /** Resolves once exactly this stands at and beneath the path. */
  async becomesStored(path: string, expected: Readonly<Record<string, string>>): Promise<void> {
    const what = `Consul holds exactly that below ${path}`;
    await eventually(async () => expect(await this.stored(path)).toEqual(expected), { what });
  }

  /** This install's owner records. */
  async records(): Promise<Records> {
    const prefix = `proconsul/${this.installId}/owners/`;
    const texts = await this.consul.kvTexts(prefix);
    return Object.fromEntries(
      Object.entries(texts).map(([key, text]) => [key.slice(prefix.length), JSON.parse(text)]),
    );
  }

  object(apiVersion: string, kind: string, name: string, body: object = {}): KubeObject {
    return { apiVersion, kind, metadata: { name, namespace: this.namespace }, ...body };
  }

  async configMap(
    name: string,
    data: Readonly<Record<string, string>>,
    binaryData: Readonly<Record<string, string>> = {},
  ): Promise<KubeObject> {
    return this.kube.apply(this.object('v1', 'ConfigMap', name, { data, binaryData }));
  }

  async secret(name: string, stringData: Readonly<Record<string, string>>): Promise<KubeObject> {
    const data = Object.fromEntries(
      Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
    );
    return this.kube.apply(this.object('v1', 'Secret', name, { data }));
  }

  /** Ends the operators and leaves nothing behind in either server. */
  async close(): Promise<void> {
    await Promise.all(this.#operators.map(operator => operator[Symbol.asyncDispose]()));
    await Promise.all([this.toKube.close(), this.toConsul.close()]);
    const { kube, consul, namespace } = this;
    for (const kind of ['ConsulKV', 'ConsulIntention', 'ConsulLeaderLease', 'ConsulService']) {
      const all = await kube.list({ apiVersion: 'proconsul.dev/v1alpha1', kind }, namespace);
      const held = all.filter(({ metadata }) => metadata.finalizers);
      await Promise.all(held.map(object => kube.patch(object, { metadata: { finalizers: null } })));
    }
    await kube.delete({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    for (const folder of [`${namespace}/`, `proconsul/${namespace}/`, `proconsul-private/${namespace}`]) {
      await consul.kvDelete(folder, { recurse: true });
    }
  }
}

function definedToken(token: string | undefined): { readonly token?: string } {
  return token === undefined ? {} : { token };
}

/** A value nobody else has: to look for, or to differ from what was there. */
export function unique(what = 'value'): string {
  return `${what}-${randomUUID()}`;
}
