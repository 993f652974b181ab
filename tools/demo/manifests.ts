import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { CONSUL_INTENTIONS, CONSUL_KVS, CONSUL_SERVICES } from '../../src/operator/kinds.ts';
import { CONFIG_MAPS, SECRETS } from '../../src/operator/source-catalog.ts';
import { SERVICES } from '../../src/reconcilers/lease/routing.ts';
import {
  collectionPath,
  type KubeClient,
  type KubeObject,
  objectPath,
  type ResourceType,
} from '../../src/kube/index.ts';

const CRDS: ResourceType = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};
/** Those of which there are samples. */
const SAMPLED = [CONSUL_KVS, CONSUL_INTENTIONS, CONSUL_SERVICES];
const KINDS = [CRDS, ...SAMPLED, CONFIG_MAPS, SECRETS, SERVICES];

/** Every document of every YAML file in a folder, in the files' order. */
export async function readManifests(folder: string): Promise<KubeObject[]> {
  const files = (await readdir(folder)).filter(file => file.endsWith('.yaml')).sort();
  const texts = await Promise.all(files.map(file => readFile(join(folder, file), 'utf8')));
  return texts.flatMap(text => parseAllDocuments(text).map(document => document.toJS() as KubeObject));
}

/** Server-side apply, as `kubectl apply --server-side` does it. */
export async function apply(
  client: KubeClient,
  object: KubeObject,
  signal: AbortSignal,
): Promise<KubeObject> {
  const type = KINDS.find(({ kind }) => kind === object.kind);
  if (type === undefined)
    throw new Error(`a sample has the kind ${object.kind}, which npm start cannot apply`);
  const { name, namespace = 'default' } = object.metadata;
  return client.request<KubeObject>({
    method: 'PATCH',
    path: objectPath(type, type.namespaced ? { name, namespace } : { name }),
    query: { fieldManager: 'proconsul-start', force: true },
    contentType: 'application/apply-patch+yaml',
    body: object,
    signal,
  });
}

/** Resolves once the API server serves the kind that a CRD defines. */
export async function established(client: KubeClient, name: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const crd = await client.request<CustomResourceDefinition>({
      method: 'GET',
      path: objectPath(CRDS, { name }),
      signal,
    });
    if (crd.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True'))
      return;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

interface CustomResourceDefinition extends KubeObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** The resources of ours that exist now. */
export async function listResources(client: KubeClient, signal: AbortSignal): Promise<readonly KubeObject[]> {
  const lists = await Promise.all(
    SAMPLED.map(async type => {
      const path = collectionPath(type);
      const { items } = await client.request<{ items: KubeObject[] | null }>({ method: 'GET', path, signal });
      // The items of a list do not say what they are.
      return (items ?? []).map(item => ({ ...item, kind: type.kind }));
    }),
  );
  return lists.flat();
}
