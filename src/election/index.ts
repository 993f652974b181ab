export { type Candidate, type CandidateOptions, createCandidate } from './candidate.ts';
export type { Leadership } from './leadership.ts';
export type { ElectionConsul } from './lock-operations.ts';
export type { ElectionNews } from './news.ts';
export { type LeaseSettings, leaseTiming, type LeaseTiming } from './timing.ts';
export { lookUpPid, readProcessIdentity } from './process-identity.ts';
export { Renewals, type RenewalsOptions } from './renewals.ts';
export { isKnownDead, parseProcessIdentity, type ProcessIdentity } from './predecessor.ts';
