import type { EventLoopMonitor } from './event-loop.ts';
import type { Instruments } from './instruments.ts';

export interface ProcessFacts {
  readonly version: string;
  readonly eventLoop: EventLoopMonitor;
  /** Wall clock, milliseconds. */
  readonly startedAtMs: number;
}

/** What Prometheus client libraries tell of their process, by the names dashboards know. */
export function observeProcess(
  metrics: Instruments,
  { version, eventLoop, startedAtMs }: ProcessFacts,
): void {
  metrics.set('buildInfo', 1, { version, node_version: process.version });
  metrics.observe('startTime', () => [{ value: startedAtMs / 1000, labels: {} }]);
  metrics.observe('cpuSeconds', () => {
    const { user, system } = process.cpuUsage();
    return [{ value: (user + system) / 1e6, labels: {} }];
  });
  metrics.observe('residentBytes', () => [{ value: process.memoryUsage.rss(), labels: {} }]);
  metrics.observe('heapUsed', () => [{ value: process.memoryUsage().heapUsed, labels: {} }]);
  const meanWindow = eventLoop.openWindow();
  const maxWindow = eventLoop.openWindow();
  metrics.observe('eventLoopLagMean', () => [{ value: meanWindow().meanMs / 1000, labels: {} }]);
  metrics.observe('eventLoopLagMax', () => [{ value: maxWindow().maxMs / 1000, labels: {} }]);
}
