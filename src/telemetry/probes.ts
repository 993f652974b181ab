import type { Page } from './http-server.ts';

/**
 * Undefined when all is well, else why it is not; a notice is shown and fails nothing: somebody should look, but
 * taking the process out of service would not help. Quick, and must not throw.
 */
export type Check = () => CheckResult;
type CheckResult = undefined | string | { readonly notice: string };

/** Checks by name, in the order they are shown. */
export type Checks = Readonly<Record<string, Check>>;

/**
 * The answer of a probe, in kube-apiserver's form: 200 and `ok`, or 503 and the list of checks. With `verbose`
 * the list is shown in both cases.
 */
export function probePage(name: string, checks: Checks): Page {
  return ({ searchParams }) => {
    const results = Object.entries(checks).map(([check, run]) => [check, resultOf(run)] as const);
    const passed = results.every(([, result]) => typeof result !== 'string');
    if (passed && !searchParams.has('verbose')) return { status: 200, body: 'ok\n' };
    const lines = results.map(([check, result]) => lineFor(check, result));
    const verdict = `${name} check ${passed ? 'passed' : 'failed'}`;
    return { status: passed ? 200 : 503, body: `${[...lines, verdict].join('\n')}\n` };
  };
}

function lineFor(check: string, result: CheckResult): string {
  if (result === undefined) return `[+]${check} ok`;
  return typeof result === 'string' ? `[-]${check} failed: ${result}` : `[!]${check}: ${result.notice}`;
}

function resultOf(check: Check): CheckResult {
  try {
    return check();
  } catch {
    return 'the check itself failed';
  }
}
