import type { Config } from '../config/config.ts';
import type { Clock, Random } from '../core/clock.ts';
import { clip } from '../core/conditions.ts';
import { TerminalError } from '../core/errors.ts';
import type { LockContent, LockValue } from '../core/lock-value.ts';
import { escapeUnprintable } from '../core/printable.ts';
import {
  type Candidate,
  createCandidate,
  type ElectionConsul,
  type ElectionNews,
  isKnownDead,
  type LeaseSettings,
  leaseTiming,
  type LeaseTiming,
  lookUpPid,
  parseProcessIdentity,
  readProcessIdentity,
} from '../election/index.ts';
import type { Logger } from '../telemetry/logger.ts';

/** Whose install this is: two of them must never share an id. */
export interface InstallIdentity {
  /** Uid of the namespace kube-system; undefined where it may not be read. */
  readonly cluster: string | undefined;
  readonly namespace: string;
  readonly release: string;
}

export interface OwnElectionOptions {
  readonly consul: ElectionConsul;
  readonly config: Config;
  readonly installId: string;
  readonly install: InstallIdentity;
  /** Pod or host name. */
  readonly instance: string;
  /** This process, unlike any other there is or was. */
  readonly identity: string;
  /** Why the work makes no progress, if it makes none. */
  readonly progress?: () => string | undefined;
  readonly onNews?: (news: ElectionNews) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** The lock of the install's leader, and the node its sessions belong to. */
export function leaderLock(installId: string): { readonly lockKey: string; readonly node: string } {
  return { lockKey: `proconsul/${installId}/leader`, node: `proconsul-${installId}` };
}

/**
 * Of the configured lock-delay, for what has to happen besides: Consul's timer and Raft entry that end the session of a
 * leader that died, the next one's attempt, the opening of its tenure in Kubernetes. So it acts within twice the TTL and
 * the lock-delay that were configured.
 */
const TAKEOVER_SECONDS = 1;

/** How the lead of an install is held. */
export function ownLeaseTiming({ ttlSeconds, lockDelaySeconds }: LeaseSettings): LeaseTiming {
  return leaseTiming({ ttlSeconds, lockDelaySeconds: lockDelaySeconds - TAKEOVER_SECONDS });
}

/** A candidate for the lead of this install. */
export function createOwnCandidate(options: OwnElectionOptions): Candidate {
  const { consul, config, installId, install, instance, identity, clock, random, signal, logger } = options;
  const process = readProcessIdentity(config.pod.uid);
  let lastSeen: string | undefined;
  const content: LockContent = { holder: instance, uid: identity, extra: { ...install, process } };
  return createCandidate({
    consul,
    ...leaderLock(installId),
    name: `proconsul ${installId} ${instance}`,
    timing: ownLeaseTiming(config.lease),
    clock,
    random,
    signal,
    value: () => content,
    ...(options.progress === undefined ? {} : { progress: options.progress }),
    judge: value => {
      if (value === undefined) return 'alive';
      if (value.uid !== lastSeen)
        logger.info({ holder: inWords(value.holder) }, 'another one holds the lead');
      lastSeen = value.uid;
      const rival = differingInstall(value, install);
      if (rival !== undefined) return sharedId(installId, rival);
      const theirs = parseProcessIdentity(value.extra?.process);
      const isDead = theirs !== undefined && process !== undefined && isKnownDead(theirs, process, lookUpPid);
      return isDead ? 'dead' : 'alive';
    },
    onStep: news => {
      tell(logger, news);
      options.onNews?.(news);
    },
  });
}

/** Another install in words, if it is another one that holds the lock. */
function differingInstall({ extra = {} }: LockValue, own: InstallIdentity): string | undefined {
  const { cluster, namespace, release } = extra;
  const isOtherCluster = own.cluster !== undefined && cluster !== undefined && cluster !== own.cluster;
  if (!isOtherCluster && namespace === own.namespace && release === own.release) return undefined;
  const where = isOtherCluster ? ` of another cluster (${inWords(cluster)})` : '';
  return `release ${inWords(release)} in namespace ${inWords(namespace)}${where}`;
}

/** What somebody else wrote, and how long it is, nobody has checked. */
function inWords(value: unknown): string {
  return typeof value === 'string' ? escapeUnprintable(clip(value, 128)) : 'unknown';
}

function sharedId(installId: string, rival: string): TerminalError {
  return new TerminalError(
    `the install id ${installId} is in use by ${rival}, which leads now: set PROCONSUL_INSTALL_ID to another one`,
    { code: 'INSTALL_ID_TAKEN', reason: 'InvalidSpec' },
  );
}

function tell(logger: Logger, news: ElectionNews): void {
  switch (news.what) {
    case 'failing':
      logger.warn({ operation: news.operation, err: news.error }, 'the election cannot go on yet');
      return;
    case 'recovered':
      logger.info({ operation: news.operation }, 'the election goes on');
      return;
    case 'clearing':
      logger.info({ sessionId: news.session }, 'the last leader is dead: taking the lock from it');
      return;
    case 'reset':
      logger.debug({}, "the index of the leader's lock went back");
      return;
    case 'watching':
    case 'ended':
    case 'leading':
    case 'idle':
    case 'opening':
    case 'campaigning':
      logger.debug({ phase: news.what, sessionId: news.session }, 'election');
  }
}
