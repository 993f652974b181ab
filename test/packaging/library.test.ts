/** The election as Node programs get it: packed, installed beside its dependencies, and imported by name. */
import { execFile } from 'node:child_process';
import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  createLibraryProject,
  LIBRARY_DEPENDENCIES,
  type LibraryProject,
} from '../support/library-project.ts';

const tsc = fileURLToPath(new URL('../../node_modules/.bin/tsc', import.meta.url));

let project: LibraryProject;
beforeAll(async () => {
  project = await createLibraryProject();
}, 60_000);
afterAll(() => project[Symbol.asyncDispose]());

test('holds what the library is built from and nothing of the operator', async () => {
  const files = (await readdir(project.installed, { recursive: true, withFileTypes: true }))
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(project.installed.length + 1));
  const layers = files.filter(path => path.startsWith('dist/')).map(path => path.split('/')[1]);
  expect(new Set(layers)).toEqual(new Set(['consul', 'core', 'election', 'telemetry']));
  expect(files.filter(path => path.startsWith('dist/telemetry/') && !path.includes('/names.'))).toEqual([]);
  expect(files.filter(path => !/^dist\/.+\.(js|d\.ts)$/.test(path)).sort()).toEqual([
    'LICENSE',
    'README.md',
    'package.json',
  ]);
});

test('names files that are there, and the packages it needs', async () => {
  const { exports, dependencies } = JSON.parse(
    await readFile(join(project.installed, 'package.json'), 'utf8'),
  );
  const named = [exports['.'].types, exports['.'].default].map(path => access(join(project.installed, path)));
  await expect(Promise.all(named)).resolves.toBeDefined();
  expect(Object.keys(dependencies)).toEqual(expect.arrayContaining(LIBRARY_DEPENDENCIES));
});

test('runs under Node, which strips no types in node_modules', async () => {
  const program = `
    import * as library from 'proconsul';
    const election = library.createConsulElection({ addresses: ['127.0.0.1:1'] });
    const waiting = election.withLock('locks/x', () => 'never', { signal: AbortSignal.abort() });
    const error = await waiting.catch(error => error);
    await election.close();
    console.log(Object.keys(library).join(), error.name, error.code);
  `;
  const args = ['--input-type=module', '-e', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: project.folder });
  expect(stdout).toBe('createConsulElection AbortedError ABORTED\n');
});

/** Each line that expects an error is one itself when what it imports has lost its types. */
const CONSUMER = `
  import { type Candidate, createConsulElection, type ElectionNews, type Held, type Leadership } from 'proconsul';

  const election = createConsulElection({ token: process.env.TOKEN, onStep: (news: ElectionNews) => void news.what });
  const candidate: Candidate = election.candidate('locks/x', { ttlSeconds: 10 });
  const leadership: Leadership = await candidate.campaign();
  export const token: bigint = leadership.fencingToken;
  export const text: string = await election.withLock('locks/x', async (held: Held) => held.fence.key);
  // @ts-expect-error
  export const wrong: number = await election.withLock('locks/x', async held => held.fence.key);
  // @ts-expect-error
  createConsulElection({ adresses: [] });
`;

test.each([
  { habits: 'as most have it', more: [] },
  { habits: 'as strict as here', more: ['--exactOptionalPropertyTypes', '--skipLibCheck'] },
])('types a program, the examples of its page included, with TypeScript $habits', async ({ more }) => {
  await writeFile(join(project.folder, 'consumer.ts'), CONSUMER);
  const programs = (await readdir(project.folder)).filter(name => name.endsWith('.ts'));
  expect(programs.sort()).toEqual(['consumer.ts', 'export-orders.ts', 'lead-orders.ts', 'nightly-report.ts']);
  const target = ['--module', 'nodenext', '--target', 'es2024', '--lib', 'es2024', '--types', 'node'];
  const args = ['--noEmit', '--strict', ...more, ...target, ...programs];
  const said = await promisify(execFile)(tsc, args, { cwd: project.folder }).then(
    ({ stdout }) => stdout,
    error => error.stdout,
  );
  expect(said).toBe('');
});
