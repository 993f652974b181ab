/** `npm run tools`: finds or builds every program; the last line of standard output is their paths as JSON. */
import { findTools } from './binaries.ts';

const report = (line: string) => void process.stderr.write(`${line}\n`);
const wanted = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'consul', 'helm'] as const;

try {
  const paths = await findTools(wanted, { env: process.env, report });
  const inOrder = Object.fromEntries(wanted.map(tool => [tool, paths[tool]]));
  process.stdout.write(`${JSON.stringify(inOrder)}\n`);
} catch (error) {
  report(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
