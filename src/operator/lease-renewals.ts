import { Renewals, type RenewalsOptions } from '../election/index.ts';
import type { SessionMirror } from '../mirror/session-mirror.ts';
import type { Logger } from '../telemetry/logger.ts';

/** Renews the sessions that the mirror shows, for as long as the process lives. Outages are told once. */
export function renewSessions(
  mirror: SessionMirror,
  { logger, ...options }: Omit<RenewalsOptions, 'onTrouble' | 'onRecovered'> & { readonly logger: Logger },
): void {
  const renewals = new Renewals({
    ...options,
    onTrouble: error => logger.warn({ err: error }, 'sessions of leases cannot be renewed, trying on'),
    onRecovered: () => logger.info({ count: renewals.size }, 'sessions of leases are renewed again'),
  });
  mirror.subscribe(all => renewals.see(all));
}
