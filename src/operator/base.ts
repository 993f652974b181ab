import type { Config } from '../config/config.ts';
import type { ConsulReads } from '../consul/client.ts';
import type { Clock, Random } from '../core/clock.ts';
import type { EventRecorder, KubeClient } from '../kube/index.ts';
import type { Removals } from '../ownership/removals.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { ConsulView } from './consul-view.ts';
import type { FinishingTurns } from './finishing-turns.ts';
import type { RightToWrite } from './guarded-client.ts';
import type { Away } from './outages.ts';
import type { WriteSide } from './write-side.ts';

/** What every kind is built on; there is one of each in the process. */
export interface Base extends WriteSide, ConsulView {
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
