/** `npm run sandbox`: the servers alone, until a signal. `--json` prints one line of addresses instead. */
import { startSandbox } from './sandbox.ts';
import { addressesOf } from './addresses.ts';

const signalled = new Promise<NodeJS.Signals>(resolve => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, resolve);
});

// A signal during a start ends this process at the end of the block; the watchdog then ends what was started.
const started = await Promise.race([startSandbox({ kubernetes: { controllerManager: true } }), signalled]);
if (typeof started === 'string') process.exit(1);

const lines = process.argv.includes('--json')
  ? [JSON.stringify(addressesOf(started))]
  : [`export KUBECONFIG=${started.kubeconfigPath}`, `export CONSUL_HTTP_ADDR=${started.consulAddress}`];
process.stdout.write(`${lines.join('\n')}\n`);
process.stderr.write(
  'The sandbox is ready. Paste the two lines into another shell, then for instance:\n' +
    '  kubectl get namespaces\n' +
    `  open ${started.consulAddress}/ui\n` +
    'Ctrl-C ends it and removes everything.\n',
);
await signalled;
await started.close();
