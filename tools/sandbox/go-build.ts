import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { acquireLock } from './build-lock.ts';
import { goModules, pinnedVersion, pins, type ToolName } from './pins.ts';
import { startWatchdog, type Watchdog } from './watchdog.ts';

export interface BuildOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly report: (line: string) => void;
}

const progressEveryMs = 10_000;

/**
 * Builds the pinned version of a tool and puts it at `target`, whole or not at all. Of several processes that
 * want the same tool one builds and the others wait.
 *
 * @throws Error that names what to install when there is no Go, or shows Go's own words when it fails.
 */
export async function buildTool(tool: ToolName, target: string, options: BuildOptions): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const lock = await acquireLock(`${target}.lock`, {
    onWait: holder => options.report(`${tool}: process ${holder} is building it, waiting`),
  });
  try {
    if (!existsSync(target)) await buildAndPublish(tool, target, options);
  } finally {
    lock.release();
  }
}

async function buildAndPublish(tool: ToolName, target: string, options: BuildOptions): Promise<void> {
  const scratch = await mkdtemp(join(dirname(target), 'build-'));
  // Neither the compiler nor its half-written output may outlive us.
  const watchdog = startWatchdog(scratch);
  try {
    await compile(tool, join(scratch, tool), { ...options, watchdog });
    await rename(join(scratch, tool), target);
  } finally {
    await watchdog.close();
  }
}

async function compile(
  tool: ToolName,
  output: string,
  { env, report, watchdog }: BuildOptions & { readonly watchdog: Watchdog },
): Promise<void> {
  const name = `${tool} ${pinnedVersion(tool)}`;
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);
  const go = spawn('go', buildArgs(tool, output), {
    cwd: fileURLToPath(new URL(`${pins[tool].folder}/`, goModules)),
    env,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (go.pid !== undefined) watchdog.guard(go.pid);
  let said = '';
  go.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000);
  });
  const progress = setInterval(() => report(`${name}: building, ${seconds()} s`), progressEveryMs);
  try {
    const [code] = (await once(go, 'close')) as [number | null];
    if (code !== 0) throw new Error(`go build of ${name} failed:\n${said.trimEnd()}`);
    report(`${name}: built in ${seconds()} s`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error(missingGo(tool), { cause: error });
  } finally {
    clearInterval(progress);
  }
}

function missingGo(tool: ToolName): string {
  const { variable } = pins[tool];
  return `${tool} has to be built and there is no Go: install Go (https://go.dev/dl), or set ${variable} to a ${tool} program`;
}

function buildArgs(tool: ToolName, output: string): string[] {
  const { mainPackage } = pins[tool];
  return [
    'build',
    '-trimpath',
    '-buildvcs=false',
    '-mod=readonly',
    '-ldflags',
    linkerFlags(tool),
    '-o',
    output,
    mainPackage,
  ];
}

/** Kubernetes learns its version from the linker only, and clients refuse to parse the version it has without. */
function linkerFlags(tool: ToolName): string {
  if (pins[tool].folder !== 'kubernetes') return '-s -w';
  const version = pinnedVersion(tool);
  const [major, minor] = version.slice(1).split('.');
  const variables = { gitVersion: version, gitMajor: major, gitMinor: minor };
  const settings = Object.entries(variables).map(
    ([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
  );
  return ['-s -w', ...settings].join(' ');
}
