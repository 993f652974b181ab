import type { IntentionEntries } from '../commit/intention-entries.ts';
import type { LeaseSessions } from '../commit/lease-sessions.ts';
import type { WriteGate } from '../commit/write-gate.ts';
import type { Config } from '../config/config.ts';
import type { ConsulReads } from '../consul/client.ts';
import type { Clock, Random } from '../core/clock.ts';
import type { EventRecorder, KubeClient } from '../kube/index.ts';
import type { Fingerprinter } from '../ownership/fingerprint.ts';
import type { Ledger } from '../ownership/ledger.ts';
import type { LedgerSync } from '../ownership/ledger-sync.ts';
import type { Removals } from '../ownership/removals.ts';
import type { IntentionMirror } from '../mirror/intention-mirror.ts';
import type { KeyWatcher } from '../mirror/key-watcher.ts';
import type { KeyMirror } from '../mirror/key-mirror.ts';
import type { SessionMirror } from '../mirror/session-mirror.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { FinishingTurns } from './finishing-turns.ts';
import type { RightToWrite } from './guarded-client.ts';
import type { Away } from './outages.ts';

/** What every kind is built on; there is one of each in the process. */
export interface Base {
  readonly config: Config;
  readonly installId: string;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Ends the process. */
  readonly signal: AbortSignal;
  readonly events: EventRecorder;
  readonly consul: ConsulReads;
  readonly gate: WriteGate;
  readonly leaseSessions: LeaseSessions;
  readonly sessionMirror: SessionMirror;
  readonly intentionEntries: IntentionEntries;
  readonly intentionMirror: IntentionMirror;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  readonly fingerprinter: Fingerprinter;
  readonly mirror: KeyMirror;
  readonly watcher: KeyWatcher;
  readonly removals: Removals;
  readonly finishing: FinishingTurns;
  readonly datacenter: () => string;
  /** Where config entries are written. Undefined: not known, or the token may not ask. */
  readonly primaryDatacenter: () => string | undefined;
  /** Everything is known of Consul that there was when it was read last. */
  readonly isKnown: () => boolean;
  readonly consulAway: () => Away | undefined;
  readonly isLeading: () => boolean;
  /** To Kubernetes: that of the lead. */
  readonly rightToWrite: RightToWrite;
  /** To statuses: that of the lead, or while there can be none, of the one that tells of it. */
  readonly rightToTell: RightToWrite;
  /** There is more or less to do than before: a batch may have been waiting for that. */
  readonly onWorkChanged: () => void;
}
