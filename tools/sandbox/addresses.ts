import type { Sandbox } from './sandbox.ts';

/** Where a sandbox's servers are: what another process needs to use it. */
export interface SandboxAddresses {
  readonly kubeconfigPath: string;
  readonly apiServerUrl: string;
  readonly caFile: string;
  readonly adminToken: string;
  readonly etcdAddress: string;
  readonly consulAddress: string;
}

export function addressesOf(sandbox: Sandbox): SandboxAddresses {
  const { kubeconfigPath, apiServerUrl, caFile, adminToken, etcdAddress, consulAddress } = sandbox;
  return { kubeconfigPath, apiServerUrl, caFile, adminToken, etcdAddress, consulAddress };
}
