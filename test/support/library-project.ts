import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));

/** What `npm install` would put beside the package, as far as the library needs it. */
export const LIBRARY_DEPENDENCIES = ['@opentelemetry/api', 'undici', 'zod'];

/** What `npm pack` reads, and builds from. */
const PACKED_FROM = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'README.md',
  'LICENSE',
  'src',
  'tools/ensure-installed.mjs',
  'tools/tsconfig.library.json',
];

/** A project of somebody else that has installed the library, and holds the programs of docs/library.md. */
export interface LibraryProject extends AsyncDisposable {
  readonly folder: string;
  /** The package as it is installed. */
  readonly installed: string;
}

/** Packs a copy of this project, as `dist/` is one for all: two tests may build at the same time. */
export async function createLibraryProject(): Promise<LibraryProject> {
  await using unlessDone = new AsyncDisposableStack();
  const temporary = await mkdtemp(join(tmpdir(), 'proconsul-library-'));
  unlessDone.defer(() => rm(temporary, { recursive: true, force: true }));
  const folder = join(temporary, 'project');
  const installed = join(folder, 'node_modules/proconsul');
  await mkdir(installed, { recursive: true });
  const archive = await pack(temporary);
  await run('tar', ['-xzf', archive, '--strip-components=1', '-C', installed]);
  for (const name of [...LIBRARY_DEPENDENCIES, '@types/node']) await link(name, folder);
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  for (const [name, program] of await programsOfPage()) await writeFile(join(folder, name), program);
  const all = unlessDone.move();
  return { folder, installed, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function pack(temporary: string): Promise<string> {
  const copy = join(temporary, 'copy');
  for (const path of PACKED_FROM) await cp(join(root, path), join(copy, path), { recursive: true });
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
  await run('npm', ['pack', '--offline', '--silent', '--pack-destination', temporary], { cwd: copy });
  const archive = (await readdir(temporary)).find(name => name.endsWith('.tgz'));
  return join(temporary, archive as string);
}

async function link(name: string, folder: string): Promise<void> {
  const path = join('node_modules', name);
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await symlink(join(root, path), join(folder, path));
}

/** By the name in their first line. */
async function programsOfPage(): Promise<readonly (readonly [name: string, program: string])[]> {
  const page = await readFile(join(root, 'docs/library.md'), 'utf8');
  return [...page.matchAll(/^```ts\n\/\/ (\S+\.ts)\n(.*?)^```/gms)].map(
    ([, name, program]) => [String(name), String(program)] as const,
  );
}
