import type { LockHistory } from './lock-history.ts';
import type { Removal, Sighting } from './store-follower.ts';
import type { WrittenTransaction } from './write-recorder.ts';

/** What two who look at the same Consul know: the one what was sent to it, the other what stood there. */
export interface Evidence {
  /** In the order of their arrival. */
  readonly transactions: readonly WrittenTransaction[];
  readonly history: Pick<LockHistory, 'holderAt' | 'holdersWithin'>;
  /** The leader's. */
  readonly lockKey: string;
  readonly sightings: readonly Sighting[];
  readonly removals: readonly Removal[];
  /** From an earlier Consul: what epochs, and the tokens of each lock, have to go on from. */
  readonly least: Marks;
}

export interface Marks {
  readonly epoch: number;
  readonly tokens: ReadonlyMap<string, bigint>;
}

/** A transaction that was carried out, whatever its sender was answered. */
interface Commit extends WrittenTransaction {
  /** Where it took away the keys that it deletes, as far as that was seen. */
  readonly removals: readonly Removal[];
}

/**
 * What must never be, in words: a transaction that was carried out without a fence, or with that of a session that did
 * not hold the lock at its index; a key that was changed by nobody who is known; an epoch that falls, or that two
 * sessions share; a fencing token that does not grow from one session to the next.
 */
export function fencingProblems(evidence: Evidence): string[] {
  const { commits, problems } = carriedOut(evidence);
  const writing = commits.filter(({ keys }) => keys.length > 0);
  if (writing.length === 0) return ['nothing was written at all'];
  return [
    ...problems,
    ...writing.flatMap(one => fenceProblem(one, evidence.history)),
    ...epochProblems(writing, evidence.least.epoch),
    ...tokenProblems(commits, evidence.least.tokens),
  ];
}

/** The highest there were: what comes after has to be higher. */
export function marksOf({ transactions, least }: Pick<Evidence, 'transactions' | 'least'>): Marks {
  const sent = transactions.filter(({ outcome }) => outcome !== 'refused');
  const tokens = new Map(least.tokens);
  for (const { key, token } of sent.flatMap(({ locks }) => locks)) {
    if (token > (tokens.get(key) ?? 0n)) tokens.set(key, token);
  }
  return { epoch: Math.max(least.epoch, ...sent.flatMap(({ epochs }) => epochs)), tokens };
}

/**
 * Every transaction that Consul carried out, in order. One whose answer was lost is known by what it left behind: by
 * a version of a key that somebody saw, or that somebody replaced by compare-and-set.
 */
function carriedOut({ transactions, sightings, removals, lockKey }: Evidence): {
  readonly commits: readonly Commit[];
  readonly problems: readonly string[];
} {
  const ledger = new CommitLedger(transactions);
  const problems = [
    ...sightings.flatMap(one => (one.key === lockKey ? ledger.learnOf(one) : ledger.explain(one))),
    ...transactions.flatMap(one => ledger.explainReplaced(one)),
    ...removals.filter(({ key }) => key !== lockKey).flatMap(removal => ledger.explainRemoval(removal)),
  ];
  return { commits: ledger.commits, problems };
}

/** Finds out which of the transactions were carried out, and when. */
class CommitLedger {
  readonly #transactions: readonly WrittenTransaction[];
  readonly #indexes = new Map<WrittenTransaction, number | undefined>();
  readonly #versions = new Set<string>();
  readonly #removals = new Map<WrittenTransaction, Removal[]>();
  /** What was written into locks, which Consul itself can take the session from. */
  readonly #lockValues = new Set<string>();
  readonly #lockKeys: ReadonlySet<string>;

  constructor(transactions: readonly WrittenTransaction[]) {
    this.#transactions = transactions;
    this.#lockKeys = new Set(transactions.flatMap(({ locks }) => locks.map(({ key }) => key)));
    for (const one of transactions) {
      if (one.outcome === 'committed') this.#carriedOut(one, one.index);
      for (const { key } of one.locks) this.#lockValues.add(`${key}=${one.values.get(key)}`);
    }
  }

  get commits(): readonly Commit[] {
    const commits = [...this.#indexes].map(([one, index]) => {
      return { ...one, index, removals: this.#removals.get(one) ?? [] };
    });
    return commits.sort((one, other) => (one.index ?? 0) - (other.index ?? 0));
  }

  /** Of the leader's lock, which admins write, too. */
  learnOf({ key, index, session }: Sighting): [] {
    if (session === undefined) return [];
    const taker = this.#unclear(({ locks }) =>
      locks.some(lock => lock.key === key && lock.session === session),
    );
    return taker === undefined ? [] : this.#carriedOut(taker, index);
  }

  /** Somebody must have written what was seen, or, where a lock has lost its session, Consul itself. */
  explain({ key, index, value, session }: Sighting): string[] {
    if (this.#versions.has(`${key}@${index}`)) return [];
    const writer = this.#unclear(one => one.values.get(key) === value);
    if (writer !== undefined) return this.#carriedOut(writer, index);
    if (session === undefined && this.#lockValues.has(`${key}=${value}`)) return [];
    return [`the version of ${key} at ${index} was written by nobody who is known`];
  }

  explainReplaced({ outcome, replaces }: WrittenTransaction): string[] {
    if (outcome !== 'committed') return [];
    return replaces.flatMap(({ key, index }) => {
      if (this.#lockKeys.has(key) || this.#versions.has(`${key}@${index}`)) return [];
      const writer = this.#unclear(one => one.values.has(key));
      if (writer !== undefined) return this.#carriedOut(writer, index);
      return [`the version of ${key} at ${index}, which was replaced, was written by nobody who is known`];
    });
  }

  explainRemoval(removal: Removal): string[] {
    const { key, after, until } = removal;
    const remover =
      this.#transactions.find(one => this.#indexes.has(one) && this.#hasToExplain(one, key)) ??
      this.#unclear(one => this.#hasToExplain(one, key));
    if (remover === undefined)
      return [`${key} was deleted after ${after}, by ${until}, by nobody who is known`];
    if (!this.#indexes.has(remover)) this.#carriedOut(remover, undefined);
    this.#removals.set(remover, [...(this.#removals.get(remover) ?? []), removal]);
    return [];
  }

  #hasToExplain(one: WrittenTransaction, key: string): boolean {
    return one.deletes.includes(key) && !this.#removals.get(one)?.some(removal => removal.key === key);
  }

  /** The last without an answer of which nothing is known yet. */
  #unclear(matches: (one: WrittenTransaction) => boolean): WrittenTransaction | undefined {
    return this.#transactions.findLast(
      one => one.outcome !== 'refused' && this.#indexes.get(one) === undefined && matches(one),
    );
  }

  #carriedOut(one: WrittenTransaction, index: number | undefined): [] {
    this.#indexes.set(one, index);
    if (index !== undefined) for (const key of one.values.keys()) this.#versions.add(`${key}@${index}`);
    return [];
  }
}

function fenceProblem(commit: Commit, history: Evidence['history']): string[] {
  const { session, isFenced, index, keys, removals, lockThen } = commit;
  const what = `the transaction at ${index ?? 'an unknown index'} that changed ${keys.join(', ')}`;
  if (!session) return [`${what} carries no session`];
  if (!isFenced) return [`${what} carries ${session} and does not check it`];
  const holders = index === undefined ? holdersDuring(commit, history) : [history.holderAt(index)];
  if (lockThen !== undefined && lockThen.session !== session) {
    return [`${what} carries ${session}, and Consul found the lock with ${lockThen.session ?? 'none'}`];
  }
  if (holders.includes(session)) return [];
  const when = removals.map(({ after, until }) => ` (between ${after} and ${until})`).join('');
  return [`${what}${when} carries ${session} while ${holders.join(', ') || 'nobody'} had the lock`];
}

/** Of one that only deletes, which Consul answers without an index: but it says since when the lock was as it found it. */
function holdersDuring({ lockThen, removals }: Commit, history: Evidence['history']): readonly unknown[] {
  if (lockThen !== undefined) return [history.holderAt(lockThen.index)];
  return removals.flatMap(removal => history.holdersWithin(removal));
}

function epochProblems(commits: readonly Commit[], leastEpoch: number): string[] {
  const problems: string[] = [];
  const sessions = new Map<number, string>();
  let highest = leastEpoch;
  for (const { epochs, index, session = '' } of commits) {
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

/** Of each lock: whoever takes it over has a higher token than all before; who keeps it may write its own again. */
function tokenProblems(commits: readonly Commit[], least: Marks['tokens']): string[] {
  const problems: string[] = [];
  const last = new Map<string, { readonly session: string; readonly token: bigint }>();
  for (const { locks, index } of commits) {
    for (const { key, session, token } of locks) {
      const before = last.get(key) ?? { session: 'an earlier Consul', token: least.get(key) ?? 0n };
      const isLawful = before.session === session ? token >= before.token : token > before.token;
      if (!isLawful) {
        problems.push(
          `at ${index} the token of ${key} is ${token} for ${session}, after ${before.token} for ${before.session}`,
        );
      }
      last.set(key, { session, token });
    }
  }
  return problems;
}
