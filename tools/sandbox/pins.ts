import { readFileSync } from 'node:fs';

/** Every program the sandbox can run, in the order they are built: the small ones first. */
export const toolNames = [
  'etcd',
  'consul',
  'kube-apiserver',
  'kube-controller-manager',
  'helm',
  'kubectl',
] as const;

export type ToolName = (typeof toolNames)[number];

/** How one tool is recognised and built. Its version is not here: `go.mod` holds it, and nothing else does. */
export interface Pin {
  /** Folder under `tools/go` with the `go.mod` that pins the version. */
  readonly folder: string;
  /** The module whose required version is the tool's version. */
  readonly module: string;
  /** The main package to build. */
  readonly mainPackage: string;
  /** Environment variable that names a program to use as it is. */
  readonly variable: string;
  readonly versionArgs: readonly string[];
  /**
   * Which versions on PATH are as good as the pinned one. The servers' behaviour is what the tests are about,
   * so theirs must agree to the minor; kubectl only talks to them.
   */
  readonly onPath: 'same-minor' | 'any';
  /** Cold build on 2 cores; programs of one module share most of it. */
  readonly buildMinutes: number;
}

const kubernetes = { folder: 'kubernetes', module: 'k8s.io/kubernetes' } as const;

export const pins: Readonly<Record<ToolName, Pin>> = {
  etcd: {
    folder: 'etcd',
    module: 'go.etcd.io/etcd/server/v3',
    mainPackage: 'go.etcd.io/etcd/server/v3',
    variable: 'PROCONSUL_ETCD',
    versionArgs: ['--version'],
    onPath: 'same-minor',
    buildMinutes: 1,
  },
  consul: {
    folder: 'consul',
    module: 'github.com/hashicorp/consul',
    mainPackage: 'github.com/hashicorp/consul',
    variable: 'PROCONSUL_CONSUL',
    versionArgs: ['version'],
    onPath: 'same-minor',
    buildMinutes: 9,
  },
  'kube-apiserver': {
    ...kubernetes,
    mainPackage: 'k8s.io/kubernetes/cmd/kube-apiserver',
    variable: 'PROCONSUL_KUBE_APISERVER',
    versionArgs: ['--version'],
    onPath: 'same-minor',
    buildMinutes: 10,
  },
  'kube-controller-manager': {
    ...kubernetes,
    mainPackage: 'k8s.io/kubernetes/cmd/kube-controller-manager',
    variable: 'PROCONSUL_KUBE_CONTROLLER_MANAGER',
    versionArgs: ['--version'],
    onPath: 'same-minor',
    buildMinutes: 2,
  },
  helm: {
    folder: 'helm',
    module: 'helm.sh/helm/v4',
    mainPackage: 'helm.sh/helm/v4/cmd/helm',
    variable: 'PROCONSUL_HELM',
    versionArgs: ['version'],
    onPath: 'same-minor',
    buildMinutes: 3,
  },
  kubectl: {
    ...kubernetes,
    mainPackage: 'k8s.io/kubernetes/cmd/kubectl',
    variable: 'PROCONSUL_KUBECTL',
    versionArgs: ['version', '--client'],
    onPath: 'any',
    buildMinutes: 2,
  },
};

export const goModules = new URL('../go/', import.meta.url);

/** The version `go.mod` requires, such as `v1.22.6`. */
export function pinnedVersion(tool: ToolName): string {
  const { folder, module } = pins[tool];
  const goMod = readFileSync(new URL(`${folder}/go.mod`, goModules), 'utf8');
  const version = goMod.split('\n').find(line =>
    line
      .trim()
      .replace(/^require /, '')
      .startsWith(`${module} v`),
  );
  const found = version?.match(/ (v\S+)/)?.[1];
  if (found === undefined) throw new Error(`tools/go/${folder}/go.mod does not require ${module}`);
  return found;
}

/** `1.37` of `Kubernetes v1.37.2`, `etcd Version: 3.6.8`, …: the first version in what the program prints. */
export function minorVersion(text: string): string | undefined {
  return text.match(/\bv?(\d+\.\d+)(?:\.\d+)?\b/)?.[1];
}
