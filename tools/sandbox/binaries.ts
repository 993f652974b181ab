import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { buildTool } from './go-build.ts';
import { minorVersion, pinnedVersion, pins, type ToolName } from './pins.ts';

export interface FindOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Where progress goes, a line at a time: standard error, so that standard output stays what a command promises. */
  readonly report: (line: string) => void;
}

/**
 * Paths of the programs asked for. Each is looked for in this order, and built when found nowhere:
 *
 * 1. its own variable (`PROCONSUL_ETCD`, …), taken as it is, whatever its version;
 * 2. `KUBEBUILDER_ASSETS`, likewise;
 * 3. PATH, if it runs and its version fits the pin (`Pin.onPath`);
 * 4. the cache, `$XDG_CACHE_HOME/proconsul/tools/<tool>-<version>/<tool>`.
 */
export async function findTools<T extends ToolName>(
  tools: readonly T[],
  options: FindOptions,
): Promise<Record<T, string>> {
  const found = new Map<T, string>();
  for (const tool of tools) {
    const path = await findTool(tool, options);
    if (path !== undefined) found.set(tool, path);
  }
  const missing = tools.filter(tool => !found.has(tool));
  announceBuild(missing, options.report);
  for (const tool of missing) {
    const target = cachedPath(tool, options.env);
    await buildTool(tool, target, options);
    found.set(tool, target);
  }
  return Object.fromEntries(found) as Record<T, string>;
}

function announceBuild(missing: readonly ToolName[], report: FindOptions['report']): void {
  if (missing.length === 0) return;
  const minutes = missing.reduce((sum, tool) => sum + pins[tool].buildMinutes, 0);
  const estimate = `about ${minutes} ${minutes === 1 ? 'minute' : 'minutes'} on 2 cores`;
  report(`Building ${missing.join(', ')} from source, once: ${estimate}. Later runs find them in the cache.`);
}

async function findTool(tool: ToolName, options: FindOptions): Promise<string | undefined> {
  const { env } = options;
  return (
    (await named(tool, env)) ?? (await onPath(tool, options)) ?? (await executable(cachedPath(tool, env)))
  );
}

/** @throws Error when a variable names something that cannot be run: a typing slip must not become a long build. */
async function named(tool: ToolName, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const { variable } = pins[tool];
  const path = env[variable];
  if (path) {
    if ((await executable(path)) !== undefined) return path;
    throw new Error(`${variable} is ${path}, which is no executable file`);
  }
  return env.KUBEBUILDER_ASSETS ? executable(join(env.KUBEBUILDER_ASSETS, tool)) : undefined;
}

async function onPath(tool: ToolName, { env, report }: FindOptions): Promise<string | undefined> {
  for (const folder of (env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const path = await executable(join(folder, tool));
    if (path === undefined) continue;
    const version = await minorOf(tool, path);
    if (pins[tool].onPath === 'any' ? version !== undefined : version === minorVersion(pinnedVersion(tool)))
      return path;
    report(
      `${path} is ${version ?? 'of no known version'}, not ${pinnedVersion(tool)}: not used (${pins[tool].variable} would)`,
    );
  }
  return undefined;
}

async function minorOf(tool: ToolName, path: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, [...pins[tool].versionArgs], { timeout: 10_000 });
    return minorVersion(stdout);
  } catch {
    return undefined;
  }
}

function cachedPath(tool: ToolName, env: NodeJS.ProcessEnv): string {
  const cache = env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(cache, 'proconsul', 'tools', `${tool}-${pinnedVersion(tool)}`, tool);
}

async function executable(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
    return path;
  } catch {
    return undefined;
  }
}
