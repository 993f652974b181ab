import { createHash } from 'node:crypto';

/**
 * The install id when none is set: 16 hex digits that are the same at every start of this install and differ
 * between clusters, namespaces and releases, so that two installs on one Consul never share owner records.
 */
export function defaultInstallId(install: {
  readonly kubeSystemUid: string;
  readonly namespace: string;
  readonly release: string;
}): string {
  const identity = `${install.kubeSystemUid}/${install.namespace}/${install.release}`;
  return createHash('sha256').update(identity).digest('hex').slice(0, 16);
}
