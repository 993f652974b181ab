import type { Page } from './http-server.ts';

/** Undefined when all is well, else why it is not. Quick, and must not throw. */
export type Check = () => string | undefined;

/** Checks by name, in the order they are shown. */
export type Checks = Readonly<Record<string, Check>>;

/**
 * The answer of a probe, in kube-apiserver's form: 200 and `ok`, or 503 and the list of checks. With `verbose`
 * the list is shown in both cases.
 */
export function probePage(name: string, checks: Checks): Page {
  return ({ searchParams }) => {
    const results = Object.entries(checks).map(([check, run]) => ({ check, failure: failureOf(run) }));
    const failed = results.filter(({ failure }) => failure !== undefined);
    const passed = failed.length === 0;
    if (passed && !searchParams.has('verbose')) return { status: 200, body: 'ok\n' };
    const lines = results.map(({ check, failure }) =>
      failure === undefined ? `[+]${check} ok` : `[-]${check} failed: ${failure}`,
    );
    const verdict = `${name} check ${passed ? 'passed' : 'failed'}`;
    return { status: passed ? 200 : 503, body: `${[...lines, verdict].join('\n')}\n` };
  };
}

function failureOf(check: Check): string | undefined {
  try {
    return check();
  } catch {
    return 'the check itself failed';
  }
}
