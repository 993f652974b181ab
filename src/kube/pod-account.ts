import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { FileAuth } from '@kubernetes/client-node/dist/file_auth.js';
import { accessOf, type AccessSource, unusable } from './access.ts';
import { kubeError } from './errors.ts';

/** Where the kubelet puts token, CA and namespace, and keeps them fresh. */
export const ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Whether there is an account to use, and no kubeconfig that goes before it. */
export function isInPod(env: NodeJS.ProcessEnv, folder: string): boolean {
  const { KUBECONFIG, HOME } = env;
  const hasKubeconfig = KUBECONFIG || (HOME && existsSync(join(HOME, '.kube', 'config')));
  return !hasKubeconfig && existsSync(join(folder, 'token'));
}

/**
 * The account of the Pod this program runs in. Token and CA are read whenever access is: the kubelet replaces them.
 *
 * @throws TerminalError (`KUBE_CONFIG`) when the environment does not say where the API server is.
 */
export function openPodAccount(env: NodeJS.ProcessEnv, folder: string): AccessSource {
  const source: AccessSource = {
    server: serverOf(env),
    contextNamespace: namespaceIn(folder),
    readAccess: async () => {
      try {
        const ca = await readFile(join(folder, 'ca.crt'));
        return accessOf({ authorization: await bearerIn(join(folder, 'token')) }, { ca });
      } catch (error) {
        throw unusable('service account', error);
      }
    },
    renewed: () => source,
  };
  return source;
}

function serverOf({
  KUBERNETES_SERVICE_HOST: host,
  KUBERNETES_SERVICE_PORT: port = '443',
}: NodeJS.ProcessEnv) {
  const url = `https://${host !== undefined && isIPv6(host) ? `[${host}]` : host}:${port}`;
  if (!host || !URL.canParse(url))
    throw kubeError('KUBE_CONFIG', 'service account: KUBERNETES_SERVICE_HOST and _PORT name no server');
  return new URL(url);
}

/** By a FileAuth of its own each time, since one would keep the token for a minute on a clock of its own. */
async function bearerIn(tokenFile: string): Promise<string> {
  const headers: Record<string, string> = {};
  await new FileAuth().applyAuthentication(
    { name: 'pod', authProvider: { name: 'tokenFile', config: { tokenFile } } },
    { headers },
  );
  const bearer = headers['Authorization']?.trim();
  if (bearer === undefined || bearer === 'Bearer') throw new Error(`${tokenFile} is empty`);
  return bearer;
}

function namespaceIn(folder: string): string | undefined {
  const file = join(folder, 'namespace');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}
