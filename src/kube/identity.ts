import { readFileSync } from 'node:fs';
import type { KubeClient } from './client.ts';
import { kubeError } from './errors.ts';
import { objectPath } from './paths.ts';
import type { KubeObject, ResourceType } from './types.ts';

const NAMESPACE: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
};
const ACCOUNT_NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/**
 * The uid of the namespace kube-system, by which clusters are told apart: it is made once and never changes.
 *
 * @throws as `KubeClient.request`; RetryableError (`KUBE_FORBIDDEN`) when the Role has no right to read it.
 */
export async function readClusterUid(client: KubeClient, signal: AbortSignal): Promise<string> {
  const path = objectPath(NAMESPACE, { name: 'kube-system' });
  const namespace = await client.request<Partial<KubeObject>>({ method: 'GET', path, signal });
  const uid = namespace.metadata?.uid;
  if (typeof uid !== 'string' || uid === '')
    throw kubeError('KUBE_BAD_REPLY', 'namespace kube-system has no uid');
  return uid;
}

export interface NamespaceSources {
  /** `POD_NAMESPACE`, set by the downward API. */
  readonly podNamespace: string | undefined;
  /** `KubeClient.contextNamespace`. */
  readonly contextNamespace: string | undefined;
  /** Where a Pod's account names its namespace; only tests set it. */
  readonly accountNamespaceFile?: string;
}

/** The namespace this program runs in; the first source that names one, else `default`. */
export function ownNamespace(sources: NamespaceSources): string {
  const { podNamespace, contextNamespace, accountNamespaceFile = ACCOUNT_NAMESPACE_FILE } = sources;
  return podNamespace?.trim() || readIfThere(accountNamespaceFile) || contextNamespace?.trim() || 'default';
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
