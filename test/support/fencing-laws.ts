import type { LockHistory } from './lock-history.ts';
import type { WrittenTransaction } from './write-recorder.ts';

type Holders = Pick<LockHistory, 'holderAt' | 'tokens'>;

/**
 * What must never be, in words: a committed transaction without a fence, or with that of a session that did not hold
 * the lock at its index; an epoch that falls, or that two sessions share; a fencing token that does not grow.
 */
export function fencingProblems(
  transactions: readonly WrittenTransaction[],
  { history, leastEpoch }: { readonly history: Holders; readonly leastEpoch: number },
): string[] {
  const committed = transactions
    .filter(({ outcome, keys }) => outcome === 'committed' && keys.length > 0)
    .sort((one, other) => (one.index ?? 0) - (other.index ?? 0));
  if (committed.length === 0) return ['nothing was written at all'];
  return [
    ...committed.flatMap(one => fenceProblem(one, history)),
    ...epochProblems(committed, leastEpoch),
    ...tokenProblems(history.tokens),
  ];
}

function fenceProblem({ session, index, keys }: WrittenTransaction, history: Holders): string[] {
  const what = `the transaction at ${index} that wrote ${keys.join(', ')}`;
  if (!session) return [`${what} carries no session`];
  if (index === undefined) return [];
  const holder = history.holderAt(index);
  return holder === session ? [] : [`${what} carries ${session} while ${holder ?? 'nobody'} had the lock`];
}

function epochProblems(committed: readonly WrittenTransaction[], leastEpoch: number): string[] {
  const problems: string[] = [];
  const sessions = new Map<number, string>();
  let highest = leastEpoch;
  for (const { epochs, index, session = '' } of committed) {
    for (const epoch of epochs) {
      if (epoch < highest) problems.push(`at ${index} the epoch is ${epoch}, and not ${highest} or more`);
      highest = Math.max(highest, epoch);
      const other = sessions.get(epoch) ?? session;
      if (other !== session) problems.push(`the epoch ${epoch} is of ${other} and of ${session}`);
      sessions.set(epoch, session);
    }
  }
  return problems;
}

function tokenProblems(tokens: readonly bigint[]): string[] {
  return tokens.flatMap((token, at) => {
    const before = tokens[at - 1];
    return before === undefined || token > before
      ? []
      : [`the fencing token fell from ${before} to ${token}`];
  });
}
