import { findTools, type FindOptions } from './binaries.ts';
import { type Consul, type ConsulOptions, startConsul } from './consul.ts';
import { type Kubernetes, type KubernetesOptions, startKubernetes } from './kubernetes.ts';
import { createWorkspace, type Workspace } from './workspace.ts';

export interface SandboxOptions {
  readonly kubernetes?: KubernetesOptions;
  readonly consul?: ConsulOptions;
  /** Where programs are looked for. Default: this process's environment, progress to standard error. */
  readonly find?: FindOptions;
}

/** A Kubernetes control plane without nodes and a Consul, on loopback, gone when closed or when this process ends. */
export interface Sandbox extends Kubernetes {
  readonly folder: string;
  readonly consul: Consul;
  /** `http://127.0.0.1:<port>`, as for `CONSUL_HTTP_ADDR`. */
  readonly consulAddress: string;
  /** Makes another process group of the caller's end with the sandbox, whichever way that ends. */
  guard(processGroup: number): void;
  close(): Promise<void>;
}

const fromProcess: FindOptions = {
  env: process.env,
  report: line => void process.stderr.write(`${line}\n`),
};

/** Resolves when every server does its work. @throws Error with the end of a server's log; nothing is left then. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const needed = ['etcd', 'kube-apiserver', 'consul'] as const;
  const find = options.find ?? fromProcess;
  const binaries = options.kubernetes?.controllerManager
    ? await findTools([...needed, 'kube-controller-manager'], find)
    : await findTools(needed, find);
  return inWorkspace(async workspace => {
    const [kubernetes, consul] = await Promise.all([
      startKubernetes(workspace, binaries, options.kubernetes),
      startConsul(workspace, binaries.consul, options.consul),
    ]);
    const guard = (processGroup: number): void => workspace.watchdog.guard(processGroup);
    return { ...kubernetes, consul, consulAddress: consul.address, guard };
  });
}

/** Consul alone: for tests that stop it, wipe it, or need it configured otherwise than the shared one. */
export async function startConsulSandbox(
  options: ConsulOptions = {},
  find: FindOptions = fromProcess,
): Promise<Consul & { readonly folder: string; close(): Promise<void> }> {
  const { consul } = await findTools(['consul'], find);
  return inWorkspace(workspace => startConsul(workspace, consul, options));
}

async function inWorkspace<T>(
  start: (workspace: Workspace) => Promise<T>,
): Promise<T & { readonly folder: string; close(): Promise<void> }> {
  const workspace = await createWorkspace();
  try {
    return { ...(await start(workspace)), folder: workspace.folder, close: () => workspace.close() };
  } catch (error) {
    await workspace.close();
    throw error;
  }
}
