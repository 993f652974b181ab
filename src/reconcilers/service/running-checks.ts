import type { CheckResult } from '../../consul/registration.ts';
import { checkPlace } from '../../consul/service-ids.ts';
import { NOT_RUN_YET } from './checks.ts';
import { type Comparison, compareAll, rowOf } from './compare.ts';
import type { BookedCheck } from './health-book.ts';
import type { Declarer, ServiceFacts, ServiceWish, WishedCheck } from './types.ts';

/** The checks that this process runs: of what is ours and stands, or was taken out and may come back. */
export function checksToRun(
  wish: ServiceWish,
  facts: ServiceFacts,
  declarer: Pick<Declarer, 'installId' | 'ref'>,
): BookedCheck[] {
  return [...compareAll(wish, facts, declarer).values()]
    .filter(({ isOurs, seen, state }) => isOurs && (seen !== undefined || state?.kind === 'out'))
    .flatMap(comparison => comparison.checks.flatMap(wished => bookedCheck(wished, comparison)));
}

function bookedCheck({ check, says }: WishedCheck, { wished, seen }: Comparison): BookedCheck[] {
  if (says.kind !== 'probe') return [];
  // Out for having been critical: it is until it is asked again.
  const stored = seen === undefined ? OUT : storedResult(rowOf(check.id, seen));
  const reapAfterMs = seen === undefined ? undefined : says.deregisterAfterMs;
  return [{ place: checkPlace(wished.node.node, check.id), spec: says.spec, stored, reapAfterMs }];
}

const OUT: CheckResult = { status: 'critical', output: '' };

const STATUSES: ReadonlySet<string> = new Set<CheckResult['status']>(['passing', 'warning', 'critical']);

/** Undefined: it has never run. */
function storedResult(
  row: { readonly status: string; readonly output: string } | undefined,
): CheckResult | undefined {
  if (row === undefined || !STATUSES.has(row.status)) return undefined;
  const { status, output } = row as CheckResult;
  return status === NOT_RUN_YET.status && output === NOT_RUN_YET.output ? undefined : { status, output };
}
