import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { parseAllDocuments } from 'yaml';
import { http } from '../../tools/sandbox/http.ts';

/** Any Kubernetes object, as the server sends it. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly generation?: number;
    readonly deletionTimestamp?: string;
    readonly finalizers?: readonly string[];
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into objects of every kind
  readonly [field: string]: any;
}

/** An object, or just enough of one to name it. */
export type Ref = Pick<KubeObject, 'apiVersion' | 'kind'> & {
  readonly metadata: { readonly name: string; readonly namespace?: string };
};

export interface KubeTarget {
  readonly apiServerUrl: string;
  readonly caFile?: string;
  readonly token: string;
}

export class KubeApiError extends Error {
  readonly status: number;
  /** `NotFound`, `Invalid`, … of the Status object. */
  readonly reason: string | undefined;

  constructor(status: number, what: string, body: string) {
    const parsed = parseStatus(body);
    super(`${what}: ${status} ${parsed.message ?? body.slice(0, 500)}`);
    this.status = status;
    this.reason = parsed.reason;
  }
}

interface Call {
  readonly body?: unknown;
  readonly contentType?: string;
}

/** A plain client of the API server for tests: raw JSON both ways, no code of the operator's. */
export class KubeApi {
  readonly #target: KubeTarget;
  readonly #ca: Buffer | undefined;
  readonly #plurals = new Map<string, { readonly plural: string; readonly namespaced: boolean }>();

  constructor(target: KubeTarget) {
    this.#target = target;
    this.#ca = target.caFile === undefined ? undefined : readFileSync(target.caFile);
  }

  /** The same server for another user. */
  as(token: string): KubeApi {
    return new KubeApi({ ...this.#target, token });
  }

  async get(ref: Ref): Promise<KubeObject | undefined> {
    return undefinedWhenNotFound(async () => this.call('GET', await this.pathOf(ref)));
  }

  async list(kind: Pick<Ref, 'apiVersion' | 'kind'>, namespace?: string): Promise<KubeObject[]> {
    const { items } = await this.call<{ items: KubeObject[] }>(
      'GET',
      await this.#collection(kind, namespace),
    );
    return items.map(item => ({ ...item, apiVersion: kind.apiVersion, kind: kind.kind }));
  }

  async create(object: KubeObject, query = ''): Promise<KubeObject> {
    return this.call('POST', (await this.#collection(object, object.metadata.namespace)) + query, {
      body: object,
    });
  }

  /** Server-side apply, by force, as field manager `test`. `query` starts with `&`. */
  async apply(object: KubeObject, query = ''): Promise<KubeObject> {
    const path = `${await this.pathOf(object)}?fieldManager=test&force=true${query}`;
    return this.call('PATCH', path, { body: object, contentType: 'application/apply-patch+yaml' });
  }

  /** Applies every document of a YAML text, in order; those without a namespace go to `namespace`. */
  async applyYaml(text: string, namespace = 'default'): Promise<KubeObject[]> {
    const applied: KubeObject[] = [];
    for (const document of parseAllDocuments(text)) {
      const object = document.toJS() as KubeObject | null;
      if (object) applied.push(await this.apply(await this.#placed(object, namespace)));
    }
    return applied;
  }

  /** JSON merge patch. */
  async patch(ref: Ref, patch: object, subresource?: 'status'): Promise<KubeObject> {
    const path = (await this.pathOf(ref)) + (subresource ? `/${subresource}` : '');
    return this.call('PATCH', path, { body: patch, contentType: 'application/merge-patch+json' });
  }

  /** Also when it is gone already. Resolves when the server took the request; finalizers may keep the object. */
  async delete(
    ref: Ref,
    propagationPolicy: 'Background' | 'Foreground' | 'Orphan' = 'Background',
  ): Promise<void> {
    await undefinedWhenNotFound(async () =>
      this.call('DELETE', await this.pathOf(ref), { body: { propagationPolicy } }),
    );
  }

  /** A namespace of a name nobody used. */
  async createNamespace(prefix = 'test'): Promise<string> {
    const name = `${prefix}-${randomBytes(4).toString('hex')}`;
    await this.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    return name;
  }

  /** A user without any right: a new service account's token. Give it rights by RBAC; delete the account to revoke. */
  async createServiceAccount(
    namespace: string,
    name: string,
  ): Promise<{ readonly token: string; readonly user: string }> {
    await this.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } });
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
    const { status } = await this.call<{ status: { token: string } }>('POST', path, { body });
    return { token: status.token, user: `system:serviceaccount:${namespace}:${name}` };
  }

  /** One request. @throws KubeApiError for every status but 2xx. */
  async call<T = KubeObject>(
    method: string,
    path: string,
    { body, contentType = 'application/json' }: Call = {},
  ): Promise<T> {
    const { apiServerUrl, token } = this.#target;
    const reply = await http(apiServerUrl, path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': contentType, accept: 'application/json' },
      ...(this.#ca && { ca: this.#ca }),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = reply.body.toString();
    if (reply.status < 200 || reply.status > 299)
      throw new KubeApiError(reply.status, `${method} ${path}`, text);
    return (text.startsWith('{') ? JSON.parse(text) : text) as T;
  }

  async pathOf(ref: Ref): Promise<string> {
    return `${await this.#collection(ref, ref.metadata.namespace)}/${encodeURIComponent(ref.metadata.name)}`;
  }

  async #collection(kind: Pick<Ref, 'apiVersion' | 'kind'>, namespace?: string): Promise<string> {
    const { plural } = await this.#resource(kind);
    const scope = namespace === undefined ? '' : `/namespaces/${namespace}`;
    return `${groupPath(kind.apiVersion)}${scope}/${plural}`;
  }

  async #placed(object: KubeObject, namespace: string): Promise<KubeObject> {
    if (!(await this.#resource(object)).namespaced || object.metadata.namespace) return object;
    return { ...object, metadata: { ...object.metadata, namespace } };
  }

  async #resource({ apiVersion, kind }: Pick<Ref, 'apiVersion' | 'kind'>) {
    const known = this.#plurals.get(`${apiVersion}/${kind}`);
    if (known) return known;
    type Discovered = { resources: { name: string; kind: string; namespaced: boolean }[] };
    const { resources } = await this.call<Discovered>('GET', groupPath(apiVersion));
    const found = resources.find(resource => resource.kind === kind && !resource.name.includes('/'));
    if (!found) throw new Error(`the API server has no ${kind} in ${apiVersion}`);
    const resource = { plural: found.name, namespaced: found.namespaced };
    this.#plurals.set(`${apiVersion}/${kind}`, resource);
    return resource;
  }
}

function groupPath(apiVersion: string): string {
  return apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
}

function parseStatus(body: string): { message?: string; reason?: string } {
  try {
    return JSON.parse(body) as { message?: string; reason?: string };
  } catch {
    return {};
  }
}

async function undefinedWhenNotFound<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof KubeApiError && error.status === 404) return undefined;
    throw error;
  }
}
