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
  /** Part of what its failure has to say: else it failed of something else, in its set-up perhaps. */
  readonly says: string;
}

/** A guard taken out, and who has to notice. Each catcher by itself. */
export interface SeededBug {
  readonly name: string;
  readonly edits: readonly Edit[];
  readonly catchers: readonly Catcher[];
}

/** Of fast-check, with a counterexample: such a test has no set-up that could fail. */
const A_PROPERTY_FAILED = 'Property failed after';

/** What the paused leader had sent arrives late; `says` tells what of it should have been refused. */
function paused(says: string): Catcher {
  return { file: 'test/chaos/election-pause.test.ts', test: 'the leader is paused for 1 TTL', says };
}

export const SEEDED_BUGS: readonly SeededBug[] = [
  {
    name: 'check-session is dropped',
    edits: [
      {
        file: 'src/commit/batch.ts',
        from: "return encodeOperation({ verb: 'check-session', key: fence.lockKey, session: fence.session });",
        // With the session in it, which nobody looks at: so what is found is what the check is there for.
        to: 'return `{"KV":{"Verb":"get-or-empty","Key":"${fence.lockKey}","Session":"${fence.session}"}}`;',
      },
    ],
    catchers: [
      {
        file: 'test/unit/commit/group-commit.test.ts',
        test: 'opens each of its transactions with its fence',
        says: "to match object { Verb: 'check-session'",
      },
      paused('late transactions'),
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
        says: 'precondition',
      },
      {
        file: 'test/chaos/late-write.test.ts',
        test: 'a transaction that was given up arrives after the next one',
        says: 'expected 200 to be 409',
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
        says: 'to throw an error',
      },
      {
        file: 'test/unit/election/election.laws.test.ts',
        test: 'two never lead at the same time',
        says: A_PROPERTY_FAILED,
      },
      paused('the tenure has ended'),
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
        // Only one that is alive: a restore revives it.
        to:
          '    const used = this.#opened?.session;\n' +
          "    const options = { signal, deadlineMs: DEADLINE_MS, consistency: 'consistent' } as const;\n" +
          '    const found = used && (await this.#options.consul.sessions.info(used, options)).value;\n' +
          '    if (used && found) return { session: used, sentAt: this.#options.leaseClock.read() };\n' +
          '    try {',
      },
      {
        file: 'src/election/state.ts',
        from: "if (verdict === 'own') return stay(state, destroy(lock.session));",
        to:
          "const kept = keptSince(lock.session, context.at); if (verdict === 'own') " +
          "return ask({ kind: 'campaigning', sight, failures, kept, asking: 'not', askedAt: 0 }, context);",
      },
    ],
    catchers: [
      {
        file: 'test/unit/election/candidate.test.ts',
        test: 'what ended does not come back',
        says: 'not to be',
      },
      {
        file: 'test/chaos/election-admin.test.ts',
        test: 'the lock is released',
        says: 'another tenure has begun',
      },
      {
        file: 'test/chaos/election-history.test.ts',
        test: 'whose leader stands by: its revived session is never used',
        says: 'another tenure has begun',
      },
    ],
  },
  {
    name: 'the margin is skipped',
    edits: [{ file: 'src/election/timing.ts', from: 'holdMs: ttlMs - marginMs,', to: 'holdMs: ttlMs,' }],
    catchers: [
      {
        file: 'test/unit/election/timing.test.ts',
        test: 'ends a TTL before Consul',
        says: 'to be greater than or equal to',
      },
    ],
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
    catchers: [
      {
        file: 'test/unit/commit/group-commit.test.ts',
        test: 'sends nothing, and holds up nobody',
        says: 'expected error to be instance of TypeError',
      },
    ],
  },
  {
    name: 'who tells of an outage goes on when it is over, and writes more than statuses',
    edits: [
      {
        file: 'src/operator/served-kind.ts',
        from: 'client: guardedClient(client, rightToWrite)',
        to: 'client: guardedClient(client, rightToTell)',
      },
      {
        file: 'src/operator/outage-reporter.ts',
        from: 'return this.#reporting !== undefined && this.#options.isAway();',
        to: 'return this.#reporting !== undefined;',
      },
    ],
    catchers: [
      {
        file: 'test/chaos/election-consul.test.ts',
        test: 'the quorum is lost, and the leader dies with it',
        says: 'writes without the lead',
      },
    ],
  },
  {
    name: 'the epoch starts over with Consul',
    edits: [
      {
        file: 'src/operator/install-lease.ts',
        from: 'Math.max(epochOf(present), atLeast) + 1',
        to: 'atLeast + 1',
      },
    ],
    catchers: [
      {
        file: 'test/chaos/election-history.test.ts',
        test: 'Consul is wiped while no replica runs',
        says: 'the epoch is',
      },
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
    catchers: [paused('late statuses that were taken')],
  },
  {
    name: 'a lease is granted over what has moved',
    edits: [
      {
        file: 'src/reconcilers/lease/apply.ts',
        from: '[standsAt(key, index), lock]',
        to: '[standsAt(key, index), lock].slice(1)',
      },
      {
        file: 'src/commit/write-gate.ts',
        from: 'if (!isChecked || before.key !== operation.key)',
        to: 'if (isChecked && before.key === operation.verb)',
      },
    ],
    catchers: [
      {
        file: 'test/integration/lease-recovery.test.ts',
        test: 'also one that is written between the look and the lock',
        says: '"reason":"AlreadyExists"',
      },
    ],
  },
  {
    name: 'a lease serves a used session again',
    edits: [
      {
        file: 'src/reconcilers/lease/plan.ts',
        from: 'createIndex > recordIndex',
        to: 'createIndex + recordIndex > 0',
      },
    ],
    catchers: [
      {
        file: 'test/unit/reconcilers/lease/plan.test.ts',
        test: 'do not serve at another slot than they held',
        says: "to be 'discard #3",
      },
      {
        file: 'test/unit/reconcilers/lease/plan.laws.test.ts',
        test: 'no session holds twice',
        says: A_PROPERTY_FAILED,
      },
    ],
  },
  {
    name: 'a fencing token is the index alone',
    edits: [
      {
        file: 'src/reconcilers/lease/plan.ts',
        from: 'nextFencingToken([...present, ...recorded, told.highest], readIndex)',
        to: 'nextFencingToken([...present, ...recorded, told.highest].slice(0, 0), readIndex)',
      },
    ],
    catchers: [
      {
        file: 'test/unit/reconcilers/lease/plan.laws.test.ts',
        test: 'strictly grow from grant to grant',
        says: A_PROPERTY_FAILED,
      },
      {
        file: 'test/unit/reconcilers/lease/plan.laws.test.ts',
        test: 'grow over a rebuilt Consul and a new process',
        says: 'to be greater than',
      },
    ],
  },
  {
    name: 'a Consul that was set back is believed',
    edits: [
      {
        file: 'src/reconcilers/lease/plan.ts',
        from: 'return told.highest > tokenIn(record?.head.lease?.token);',
        to: 'return told.highest < 0n && tokenIn(record?.head.lease?.token) < 0n;',
      },
    ],
    catchers: [
      {
        file: 'test/unit/reconcilers/lease/plan.test.ts',
        test: 'with a new token when Consul was set back',
        says: "to be 'rewrite / for a #1",
      },
      {
        file: 'test/chaos/lease-tokens.test.ts',
        test: 'over the restore of a snapshot',
        says: 'a token above',
      },
    ],
  },
  {
    name: 'a label is put on whoever has the name',
    edits: [
      {
        file: 'src/operator/lease-cluster.ts',
        from: 'metadata: { uid, resourceVersion, labels }',
        to: 'metadata: { labels, _: uid && resourceVersion && undefined }',
      },
    ],
    catchers: [
      {
        file: 'test/integration/lease-service.test.ts',
        test: 'a Pod that takes the place of the leader',
        says: 'expected 200 to be 409',
      },
    ],
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
        says: 'to deeply equal [ [], [], undefined ]',
      },
    ],
  },
  {
    name: 'endpoints are planned from before the EndpointSlices are listed',
    edits: [
      {
        file: 'src/operator/service-cluster.ts',
        from: 'await Promise.all(this.#all.map(watch => watch.listed(namespace, { isOptional: false, signal })));',
        to: 'if (signal.aborted) return { service: undefined, slices: [] };',
      },
    ],
    catchers: [
      {
        file: 'test/chaos/service-installs.test.ts',
        test: 'nothing is removed before the list is complete, and nothing afterwards',
        says: 'to deeply equal',
      },
    ],
  },
  {
    name: 'an instance that another resource owns is taken',
    edits: [
      {
        file: 'src/reconcilers/service/plan.ts',
        from: 'if (rivals !== undefined) return rivals;',
        to: '',
      },
    ],
    catchers: [
      {
        file: 'test/integration/service-lifecycle.test.ts',
        test: 'the first keeps it, the other writes nothing at all',
        says: 'Conflict',
      },
    ],
  },
  {
    name: 'an instance may have no id',
    edits: [
      {
        file: 'src/consul/service-ids.ts',
        from: 'const SERVICE_ID = /^[a-z0-9_][a-z0-9._:-]{0,159}$/;',
        to: 'const SERVICE_ID = /^[a-z0-9._:-]{0,160}$/;',
      },
    ],
    catchers: [
      {
        file: 'test/unit/commit/catalog-gate.test.ts',
        test: 'is not sent for a service, check or node called',
        says: 'resolved',
      },
    ],
  },
];
