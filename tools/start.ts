/**
 * `npm start`: servers, CRDs, operator and samples, then a live table until Ctrl-C. With `--once` it ends with 0
 * as soon as every sample is Ready, else with 1 and the reason.
 */
import { cursorTo, clearScreenDown } from 'node:readline';
import { parseArgs, styleText } from 'node:util';
import { createKubeClient, type KubeClient } from '../src/kube/index.ts';
import { systemClock } from '../src/runtime/system-clock.ts';
import { apply, established, listResources, readManifests } from './demo/manifests.ts';
import { type OperatorProcess, startOperatorProcess } from './demo/operator-process.ts';
import { renderTable, rowOf, type Row } from './demo/table.ts';
import { type Sandbox, startSandbox } from './sandbox/sandbox.ts';

const REFRESH_MS = 500;
const { once, timeout } = parseArgs({
  options: {
    once: { type: 'boolean', default: false },
    /** Seconds that the samples have to become Ready. */
    timeout: { type: 'string', default: '60' },
  },
}).values;
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort(signal));

process.exitCode = await main().catch((error: unknown) => {
  if (stop.signal.aborted) return 0;
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
});

async function main(): Promise<number> {
  say('Starting a Kubernetes API server and a Consul on this machine …');
  const sandbox = await startSandbox();
  const client = createKubeClient({ clock: systemClock, kubeconfig: sandbox.kubeconfigPath });
  const operator = startOperatorProcess(sandbox);
  try {
    const samples = await applyEverything(client);
    await Promise.race([showUntilReady(client, samples), failWhen(operator.ended)]);
    if (once) return 0;
    await Promise.race([showUntilStopped(client, sandbox), failWhen(operator.ended)]);
    return 0;
  } finally {
    await tearDown(client, operator, sandbox);
  }
}

/** CRDs first, then what is in manifests/samples. Returns the names of the resources that should become Ready. */
async function applyEverything(client: KubeClient): Promise<ReadonlySet<string>> {
  const { signal } = stop;
  const crds = await readManifests('crds');
  for (const crd of crds) await apply(client, crd, signal);
  for (const crd of crds) await established(client, crd.metadata.name, signal);
  const samples = await readManifests('manifests/samples');
  for (const sample of samples) await apply(client, sample, signal);
  const kinds = new Set(crds.map(({ spec }) => (spec as { names: { kind: string } }).names.kind));
  return new Set(
    samples
      .filter(({ kind = '' }) => kinds.has(kind))
      .map(({ kind = '', metadata }) => titleOf({ kind, name: `default/${metadata.name}` })),
  );
}

async function showUntilReady(client: KubeClient, samples: ReadonlySet<string>): Promise<void> {
  const deadline = performance.now() + Number(timeout) * 1000;
  for (;;) {
    const rows = (await listResources(client, stop.signal)).map(rowOf);
    const late = rows.filter(row => samples.has(titleOf(row)) && row.ready !== 'True');
    if (rows.length >= samples.size && late.length === 0) {
      say(renderTable(rows));
      return;
    }
    if (performance.now() > deadline) throw new Error(`not Ready after ${timeout} s:\n${explain(late)}`);
    await pause(REFRESH_MS / 5);
  }
}

function titleOf({ kind, name }: Pick<Row, 'kind' | 'name'>): string {
  return `${kind} ${name}`;
}

function explain(late: readonly Row[]): string {
  return late.map(row => `  ${titleOf(row)}: ${row.reason} ${row.message}`).join('\n');
}

async function showUntilStopped(client: KubeClient, sandbox: Sandbox): Promise<void> {
  const hint = tryNext(sandbox);
  let shown = '';
  while (!stop.signal.aborted) {
    const table = renderTable((await listResources(client, stop.signal)).map(rowOf));
    if (table !== shown) redraw(`${table}\n${hint}`);
    shown = table;
    await pause(REFRESH_MS);
  }
}

/** On a terminal the table stays where it is; in a file each state follows the last. */
function redraw(text: string): void {
  if (process.stdout.isTTY) {
    cursorTo(process.stdout, 0, 0);
    clearScreenDown(process.stdout);
  }
  say(text);
}

function tryNext({ kubeconfigPath, consulAddress }: Sandbox): string {
  const heading = (text: string): string => styleText('bold', text);
  return `
${heading('Try next, in another shell:')}
  export KUBECONFIG=${kubeconfigPath} CONSUL_HTTP_ADDR=${consulAddress}

${heading('1. edit a key behind its back, and read it again')}
  curl -X PUT -d hacked $CONSUL_HTTP_ADDR/v1/kv/samples/greeting; sleep 1; curl "$CONSUL_HTTP_ADDR/v1/kv/samples/greeting?raw"
${heading('2. delete a resource, and look for its key')}
  kubectl delete consulkv sample-greeting; curl -i "$CONSUL_HTTP_ADDR/v1/kv/samples/greeting"
${heading('3. apply an own one')}
  echo '{"apiVersion":"proconsul.dev/v1alpha1","kind":"ConsulKV","metadata":{"name":"mine"},"spec":{"key":"mine","value":"hello"}}' | kubectl apply -f -

Consul's own page: ${consulAddress}/ui. Ctrl-C ends everything.`;
}

async function tearDown(client: KubeClient, operator: OperatorProcess, sandbox: Sandbox): Promise<void> {
  await client.close();
  await operator.stop();
  await sandbox.close();
}

async function failWhen(ended: Promise<string>): Promise<never> {
  throw new Error(await ended);
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms);
    stop.signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
