/** A small exact replacement in one file. The text has to stand there once. */
export interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Tests that have to turn red. */
export interface Catcher {
  readonly file: string;
  /** Part of the name of one test, free of what a regular expression reads as more than text. */
  readonly test: string;
}

/** A guard taken out, and who has to notice. Each catcher by itself. */
export interface SeededBug {
  readonly name: string;
  readonly edits: readonly Edit[];
  readonly catchers: readonly Catcher[];
}

const PAUSED: Catcher = {
  file: 'test/chaos/election-pause.test.ts',
  test: 'the leader is paused for 1 TTL',
};

export const SEEDED_BUGS: readonly SeededBug[] = [
  {
    name: 'check-session is dropped',
    edits: [
      {
        file: 'src/commit/batch.ts',
        from: '  if (fence !== undefined) place(fence, []);\n',
        to: '',
      },
    ],
    catchers: [
      {
        file: 'test/unit/commit/group-commit.test.ts',
        test: 'opens each of its transactions with its fence',
      },
      PAUSED,
    ],
  },
  {
    name: 'the compare-and-set is dropped',
    edits: [
      {
        file: 'src/consul/txn.ts',
        from: '{"KV":{"Verb":"${verb}",',
        to: '{"KV":{"Verb":"${verb === "cas" ? "set" : verb}",',
      },
    ],
    catchers: [
      {
        file: 'test/contract/consul-txn.test.ts',
        test: 'that lost applies nothing of its transaction and names every operation that failed',
      },
      {
        file: 'test/chaos/late-write.test.ts',
        test: 'a transaction that was given up arrives after the next one',
      },
    ],
  },
  {
    name: 'the deadline is dropped',
    edits: [
      {
        file: 'src/election/renewal.ts',
        from: 'return remainingMs(renewedAt, at, timing) <= 0;',
        to: 'return remainingMs(renewedAt, at, timing) === Number.NEGATIVE_INFINITY;',
      },
      {
        file: 'src/election/leadership.ts',
        from: 'this.#options.remainingMs() <= 0',
        to: 'this.#options.remainingMs() === Number.NEGATIVE_INFINITY',
      },
    ],
    catchers: [
      {
        file: 'test/unit/election/candidate.test.ts',
        test: 'in a process that was paused, assertHeld knows before any timer fires',
      },
      { file: 'test/unit/election/election.laws.test.ts', test: 'two never lead at the same time' },
      PAUSED,
    ],
  },
  {
    name: 'a session is used again',
    edits: [
      {
        file: 'src/election/state.ts',
        from: "{ do: 'end', session: id, why }, destroy(id));",
        to: "{ do: 'end', session: id, why });",
      },
      {
        file: 'src/election/lock-operations.ts',
        from: '    await this.#sweep(signal);\n    try {',
        to:
          '    const used = this.#opened;\n' +
          '    if (used) return { session: used.session, sentAt: this.#options.leaseClock.read() };\n' +
          '    try {',
      },
    ],
    catchers: [
      {
        file: 'test/unit/election/candidate.test.ts',
        test: 'what ended does not come back',
      },
      { file: 'test/chaos/election-admin.test.ts', test: 'the lock is released' },
    ],
  },
  {
    name: 'the margin is skipped',
    edits: [{ file: 'src/election/timing.ts', from: 'holdMs: ttlMs - marginMs,', to: 'holdMs: ttlMs,' }],
    catchers: [{ file: 'test/unit/election/timing.test.ts', test: 'ends a TTL before Consul' }],
  },
  {
    name: 'an empty session passes',
    edits: [
      {
        file: 'src/consul/txn.ts',
        from: '"${parseSessionId(operation.session)}"',
        to: '"${operation.session}"',
      },
    ],
    catchers: [{ file: 'test/unit/commit/group-commit.test.ts', test: 'sends nothing, and holds up nobody' }],
  },
  {
    name: 'the epoch starts over with Consul',
    edits: [
      {
        file: 'src/operator/install-lease.ts',
        from: 'Math.max(present?.spec?.leaseTransitions ?? 0, atLeast) + 1',
        to: 'atLeast + 1',
      },
    ],
    catchers: [
      { file: 'test/chaos/election-history.test.ts', test: 'Consul is wiped while no replica runs' },
    ],
  },
  {
    name: 'a status is written without a precondition',
    edits: [
      {
        file: 'src/kube/status-writer.ts',
        from: 'body: { metadata: { resourceVersion }, status: patch },',
        to: 'body: { status: patch, _: resourceVersion && undefined },',
      },
    ],
    catchers: [PAUSED],
  },
  {
    name: 'what is on no list is removed',
    edits: [
      {
        file: 'src/ownership/removals.ts',
        from: 'if (record === undefined || !isAbsenceKnown(ref)) return false;',
        to: 'if (record === undefined || !isAbsenceKnown) return false;',
      },
      {
        file: 'src/ownership/removals.ts',
        from: "head.onDelete !== 'Delete' || exists(ref) || !isAbsenceKnown(ref)",
        to: "head.onDelete !== 'Delete' || exists(ref) || !isAbsenceKnown",
      },
    ],
    catchers: [
      {
        file: 'test/unit/ownership/removals.test.ts',
        test: 'is not removed before its absence means anything',
      },
    ],
  },
];
