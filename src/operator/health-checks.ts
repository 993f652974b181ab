import type { CheckPlace } from '../consul/service-ids.ts';
import { describeResource, type ResourceRef } from '../core/resource.ts';
import { createProber } from '../probes/prober.ts';
import { HealthBook } from '../reconcilers/service/health-book.ts';
import { createSayOnce } from '../telemetry/say-once.ts';
import type { Base } from './base.ts';
import { sparedHosts } from './own-servers.ts';

const REPEAT_LOG_MS = 60_000;

/** The health checks that this process runs while it leads: counted, and held off the operator's own servers. */
export function createHealthBook(
  base: Pick<Base, 'config' | 'client' | 'consul' | 'clock' | 'random' | 'logger' | 'metrics' | 'signal'>,
): HealthBook {
  const { config, clock, random, logger, metrics } = base;
  const sayOnce = createSayOnce(() => clock.monotonic(), REPEAT_LOG_MS);
  const book = new HealthBook({
    probe: createProber({ allow: config.probeAllow, ...sparedHosts(base), clock }),
    clock,
    random,
    onRun: found => metrics.checkRan(found, clock.now()),
    onUnknown: (ref: ResourceRef, place: CheckPlace, why) =>
      sayOnce(describeResource(ref), suppressed =>
        logger.warn({ ...ref, check: place, reason: why, suppressed }, 'a health check could not be run'),
      ),
    onHeld: held =>
      sayOnce('held', suppressed =>
        logger.warn(
          { reason: `${held.critical} of ${held.total}`, suppressed },
          'so many health checks are critical at once that no instance is taken out for it',
        ),
      ),
  });
  metrics.checks(book);
  return book;
}
