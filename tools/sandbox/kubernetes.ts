import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { http } from './http.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { ServerProcess } from './server-process.ts';
import type { Workspace } from './workspace.ts';

export interface KubernetesOptions {
  /** Also run the controllers that finish namespace deletion and garbage collection, and make EndpointSlices of Pods. */
  readonly controllerManager?: boolean;
  /** Appended to kube-apiserver's own; a later flag wins. */
  readonly apiServerFlags?: readonly string[];
}

export interface KubernetesBinaries {
  readonly etcd: string;
  readonly 'kube-apiserver': string;
  readonly 'kube-controller-manager'?: string;
}

/** etcd and kube-apiserver (and kube-controller-manager), RBAC on, an admin in `system:masters`. */
export interface Kubernetes {
  readonly apiServerUrl: string;
  /** PEM file of the authority that signed the API server's certificate. */
  readonly caFile: string;
  readonly adminToken: string;
  /** Names the API server, its authority and the admin's token. */
  readonly kubeconfigPath: string;
  readonly etcdAddress: string;
  readonly etcd: ServerProcess;
  readonly apiServer: ServerProcess;
  readonly controllerManager: ServerProcess | undefined;
}

const CONTROLLERS = [
  'namespace-controller',
  'garbage-collector-controller',
  'serviceaccount-controller',
  'endpointslice-controller',
] as const;

interface Files {
  readonly apiServerCerts: string;
  readonly serviceAccountKey: string;
  readonly tokens: string;
  readonly kubeconfig: string;
}

export async function startKubernetes(
  workspace: Workspace,
  binaries: KubernetesBinaries,
  options: KubernetesOptions = {},
): Promise<Kubernetes> {
  const { folder, ports } = workspace;
  const [etcdPort, etcdPeerPort, apiPort] = [await ports.next(), await ports.next(), await ports.next()];
  const etcdAddress = `http://127.0.0.1:${etcdPort}`;
  const etcd = new ServerProcess(workspace, {
    name: 'etcd',
    binary: binaries.etcd,
    args: etcdArgs(join(folder, 'etcd'), etcdAddress, `http://127.0.0.1:${etcdPeerPort}`),
    isReady: async () => (await http(etcdAddress, '/health')).status === 200,
  });
  const adminToken = randomBytes(24).toString('hex');
  const [files] = await Promise.all([writeFiles(folder, adminToken), etcd.start()]);
  const apiServerUrl = `https://127.0.0.1:${apiPort}`;
  const caFile = join(files.apiServerCerts, 'apiserver.crt');
  const apiServer = new ServerProcess(workspace, {
    name: 'kube-apiserver',
    binary: binaries['kube-apiserver'],
    args: [...apiServerArgs({ etcdAddress, apiPort, files }), ...(options.apiServerFlags ?? [])],
    isReady: () => apiServerIsReady(apiServerUrl, caFile, adminToken),
  });
  await writeKubeconfig(files.kubeconfig, { server: apiServerUrl, caFile, token: adminToken });
  await apiServer.start();

  const controllerManager = options.controllerManager
    ? await startControllerManager(workspace, binaries['kube-controller-manager'], files)
    : undefined;
  return {
    apiServerUrl,
    caFile,
    adminToken,
    kubeconfigPath: files.kubeconfig,
    etcdAddress,
    etcd,
    apiServer,
    controllerManager,
  };
}

function etcdArgs(dataFolder: string, client: string, peer: string): string[] {
  return [
    `--data-dir=${dataFolder}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

function apiServerArgs(at: { etcdAddress: string; apiPort: number; files: Files }): string[] {
  const { apiServerCerts, serviceAccountKey, tokens } = at.files;
  return [
    `--etcd-servers=${at.etcdAddress}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    '--endpoint-reconciler-type=none', // it refuses a loopback address, over and over
    `--secure-port=${at.apiPort}`,
    `--cert-dir=${apiServerCerts}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${serviceAccountKey}`,
    `--service-account-signing-key-file=${serviceAccountKey}`,
    `--token-auth-file=${tokens}`,
    '--authorization-mode=RBAC',
    '--service-cluster-ip-range=10.0.0.0/24,fd00:10::/112',
    '--disable-admission-plugins=ServiceAccount',
    '--shutdown-watch-termination-grace-period=1s', // without it an open watch keeps it from ending for a minute
  ];
}

async function writeFiles(folder: string, adminToken: string): Promise<Files> {
  const files: Files = {
    apiServerCerts: join(folder, 'kube-apiserver'),
    serviceAccountKey: join(folder, 'service-account.key'),
    tokens: join(folder, 'tokens.csv'),
    kubeconfig: join(folder, 'kubeconfig'),
  };
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await mkdir(files.apiServerCerts);
  await writeFile(files.serviceAccountKey, privateKey.export({ type: 'sec1', format: 'pem' }));
  await writeFile(files.tokens, `${adminToken},admin,admin,"system:masters"\n`);
  return files;
}

/** `/readyz` alone is too early: the namespace everything is applied in appears a moment later. */
async function apiServerIsReady(url: string, caFile: string, token: string): Promise<boolean> {
  const options = { ca: readFileSync(caFile), headers: { authorization: `Bearer ${token}` } };
  for (const path of ['/readyz', '/api/v1/namespaces/default']) {
    if ((await http(url, path, options)).status !== 200) return false;
  }
  return true;
}

async function startControllerManager(
  workspace: Workspace,
  binary: string | undefined,
  { kubeconfig, serviceAccountKey }: Files,
): Promise<ServerProcess> {
  if (binary === undefined) throw new Error('no kube-controller-manager to start');
  const port = await workspace.ports.next();
  const certs = join(workspace.folder, 'kube-controller-manager');
  const server = new ServerProcess(workspace, {
    name: 'kube-controller-manager',
    binary,
    args: [
      `--kubeconfig=${kubeconfig}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      `--cert-dir=${certs}`,
      '--leader-elect=false',
      `--service-account-private-key-file=${serviceAccountKey}`,
      `--controllers=${CONTROLLERS.join()}`,
    ],
    isReady: async () => {
      const ca = readFileSync(join(certs, 'kube-controller-manager.crt'));
      return (await http(`https://127.0.0.1:${port}`, '/healthz', { ca })).status === 200;
    },
  });
  await server.start();
  return server;
}
