/** The programs of docs/library.md, on the packed library, with the rights that the page names and no others. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { expect, onTestFinished, test } from 'vitest';
import { http } from '../../tools/sandbox/http.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { createLibraryProject } from '../support/library-project.ts';

test('the programs of the page run on its rights, and hand the lead over when told to end', async () => {
  await using project = await createLibraryProject();
  const sandbox = await startConsulSandbox({ acl: true });
  onTestFinished(() => sandbox.close());
  const token = await createToken(sandbox, await rightsOfPage());

  const start = (program: string) => {
    const env = { PATH: process.env['PATH'], CONSUL_HTTP_ADDR: sandbox.address, CONSUL_HTTP_TOKEN: token };
    return new Program(spawn(process.execPath, [program], { cwd: project.folder, env, stdio: OUTPUT_ONLY }));
  };

  const report = start('nightly-report.ts');
  const reported = tokenIn(await report.line(), 'written with token');
  expect(await report.exitCode()).toBe(0);
  const again = start('nightly-report.ts');
  expect(tokenIn(await again.line(), 'written with token')).toBeGreaterThan(reported);
  expect(await again.exitCode()).toBe(0);

  const work = start('export-orders.ts');
  expect(await work.line()).toMatch(/^exported in slot [012]$/);
  expect(await work.exitCode()).toBe(0);

  const leader = start('lead-orders.ts');
  const first = tokenIn(await leader.line(), 'leading with token');
  const next = start('lead-orders.ts');
  const takeover = next.line();
  leader.stop();
  expect(await leader.exitCode()).toBe(0);
  expect(tokenIn(await takeover, 'leading with token')).toBeGreaterThan(first);
  next.stop();
  expect(await next.exitCode()).toBe(0);
});

const OUTPUT_ONLY: ['ignore', 'pipe', 'inherit'] = ['ignore', 'pipe', 'inherit'];

class Program {
  readonly #child: ChildProcessByStdio<null, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #exit: Promise<unknown[]>;

  constructor(child: ChildProcessByStdio<null, Readable, null>) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#exit = once(child, 'exit');
    onTestFinished(() => void child.kill('SIGKILL'));
  }

  async line(): Promise<string> {
    return String((await this.#lines.next()).value);
  }

  stop(): void {
    this.#child.kill('SIGTERM');
  }

  async exitCode(): Promise<unknown> {
    return (await this.#exit)[0];
  }
}

function tokenIn(line: string, before: string): bigint {
  expect(line).toMatch(new RegExp(`^${before} \\d+$`));
  return BigInt(line.slice(before.length + 1));
}

async function rightsOfPage(): Promise<string> {
  const page = await readFile(new URL('../../docs/library.md', import.meta.url), 'utf8');
  return /^```hcl\n(.*?)^```/ms.exec(page)?.[1] ?? '';
}

type ConsulSandbox = Awaited<ReturnType<typeof startConsulSandbox>>;

async function createToken(sandbox: ConsulSandbox, rules: string): Promise<string> {
  const manage = async (path: string, body: object): Promise<Record<string, string>> => {
    const headers = { authorization: `Bearer ${sandbox.managementToken}` };
    const reply = await http(sandbox.address, path, { method: 'PUT', headers, body: JSON.stringify(body) });
    return JSON.parse(reply.body.toString()) as Record<string, string>;
  };
  await manage('/v1/acl/policy', { Name: 'page', Rules: rules });
  return (await manage('/v1/acl/token', { Policies: [{ Name: 'page' }] }))['SecretID'] ?? '';
}
