/**
 * Makes sure that `node_modules` is what `package-lock.json` says, and runs `npm ci` when it is not. First part of
 * every npm script, so that each works in a fresh clone. Plain JavaScript without dependencies, for Node 18 and
 * later: it runs on the machine's own Node, before there is another. Writes to standard error only.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, sep } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const lockfile = join(root, 'package-lock.json');
const modules = join(root, 'node_modules');
const stamp = join(modules, '.proconsul-installed');
// Not in the project: `npm ci` removes node_modules, and the rest is under version control.
const mutex = join(tmpdir(), `proconsul-install-${sha256(root).slice(0, 16)}.lock`);
const staleAfterMs = 60_000;

if (!isInstalled()) {
  await acquire();
  const heartbeat = setInterval(() => utimesSync(mutex, new Date(), new Date()), 5000);
  try {
    if (!isInstalled()) await install();
  } finally {
    clearInterval(heartbeat);
    rmSync(mutex, { force: true });
  }
}

function isInstalled() {
  if (!existsSync(join(modules, '.bin', 'node'))) return false;
  const wanted = sha256(readFileSync(lockfile));
  if (read(stamp) === wanted) return true;
  if (!isWhatNpmInstalled()) return false;
  writeFileSync(stamp, wanted);
  return true;
}

/** True after somebody's own `npm ci` or `npm install`: npm ends by writing down what it put there. */
function isWhatNpmInstalled() {
  const there = packagesOf(join(modules, '.package-lock.json'));
  return Object.entries(packagesOf(lockfile)).every(([path, { version, integrity, optional }]) => {
    const found = there[path];
    // an optional package may be for another platform
    return path === '' || (found ? found.version === version && found.integrity === integrity : optional);
  });
}

async function install() {
  process.stderr.write('Installing dependencies (npm ci) …\n');
  // Not npm's warnings: on an older Node of the machine there is one for every package that wants a newer one.
  const npm = spawn('npm', ['ci', '--include=dev', '--loglevel=error'], {
    cwd: root,
    env: { ...process.env, PATH: pathWithoutModules() },
    stdio: ['ignore', 2, 2],
  });
  const [code] = await once(npm, 'close');
  if (code !== 0) fail(`npm ci failed with exit code ${code}`);
  if (!isInstalled()) fail('npm ci left node_modules incomplete (are install scripts allowed?)');
}

/** npm must not run on the Node it is about to remove. */
function pathWithoutModules() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.filter(folder => !folder.startsWith(modules + sep)).join(delimiter);
}

/** Two commands started at once: one installs, the other waits. A dead or silent holder is not waited for. */
async function acquire() {
  for (;;) {
    try {
      return writeFileSync(mutex, String(process.pid), { flag: 'wx' });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (isStale()) rmSync(mutex, { force: true });
    else await delay(200);
  }
}

function isStale() {
  try {
    if (Date.now() - statSync(mutex).mtimeMs > staleAfterMs) return true;
    process.kill(Number(readFileSync(mutex, 'utf8')) || process.pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

function packagesOf(file) {
  const text = read(file);
  return text === undefined ? {} : JSON.parse(text).packages;
}

function read(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

function sha256(data) {
  return createHash('sha256').update(data).digest('hex');
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  rmSync(mutex, { force: true });
  process.exit(1);
}
