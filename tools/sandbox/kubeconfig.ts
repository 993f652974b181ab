import { writeFile } from 'node:fs/promises';

export interface KubeconfigTarget {
  /** `https://…`, or the plain `http://…` of a proxy on loopback. */
  readonly server: string;
  /** PEM file of the authority to trust. It need not exist yet: the API server writes its own while starting. */
  readonly caFile?: string;
  readonly token: string;
  readonly namespace?: string;
}

/** Writes a kubeconfig with one context. JSON is YAML, so it needs no library. */
export async function writeKubeconfig(path: string, target: KubeconfigTarget): Promise<void> {
  const { server, caFile, token, namespace = 'default' } = target;
  const name = 'proconsul-sandbox';
  const ca = caFile === undefined ? {} : { 'certificate-authority': caFile };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server, ...ca } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace } }],
  };
  await writeFile(path, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
}
