import { inject } from 'vitest';
import { installCrds } from './crds.ts';
import { KubeApi, KubeApiError, type KubeObject } from './kube-api.ts';

export type Spec = Readonly<Record<string, unknown>>;

/** What the real API server says to resources of one kind, in a namespace of its own. */
export class Admission {
  readonly kube: KubeApi;
  readonly namespace: string;
  readonly crds: readonly KubeObject[];
  readonly #kind: string;

  private constructor(kube: KubeApi, crds: readonly KubeObject[], namespace: string, kind: string) {
    this.kube = kube;
    this.crds = crds;
    this.namespace = namespace;
    this.#kind = kind;
  }

  static async of(kind: string): Promise<Admission> {
    const { apiServerUrl, caFile, adminToken } = inject('sandbox');
    const kube = new KubeApi({ apiServerUrl, caFile, token: adminToken });
    const crds = await installCrds(kube);
    return new Admission(kube, crds, await kube.createNamespace('crd'), kind);
  }

  async close(): Promise<void> {
    await this.kube.delete({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: this.namespace } });
  }

  object(name: string, spec: Spec): KubeObject {
    const { namespace } = this;
    return { apiVersion: 'proconsul.dev/v1alpha1', kind: this.#kind, metadata: { name, namespace }, spec };
  }

  /** What the server would say to this spec: undefined when it takes it. */
  async refusal(spec: Spec, fieldValidation = 'Strict'): Promise<string | undefined> {
    const query = `?dryRun=All&fieldValidation=${fieldValidation}`;
    return messageOf(() => this.kube.create(this.object('asked', spec), query));
  }

  /** For the time of the test alone, so that no operator in this sandbox minds it. */
  async withStored<T>(object: KubeObject, use: (stored: KubeObject) => Promise<T>): Promise<T> {
    const stored = await this.kube.create(object);
    try {
      return await use(stored);
    } finally {
      await this.kube.delete(object);
    }
  }

  async patchDry(stored: KubeObject, spec: Spec): Promise<KubeObject> {
    const contentType = 'application/merge-patch+json';
    const path = `${await this.kube.pathOf(stored)}?dryRun=All`;
    return this.kube.call('PATCH', path, { body: { spec }, contentType });
  }
}

/** What the server refused; undefined: it did as asked. */
export async function messageOf(request: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await request();
    return undefined;
  } catch (error) {
    if (error instanceof KubeApiError && error.status < 500) return error.message;
    throw error;
  }
}
