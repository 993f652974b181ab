import type { ResourceRef } from '../../core/resource.ts';
import { catalogInstances } from '../../mirror/tracked-instances.ts';
import { listedNames } from '../../ownership/record.ts';
import type { Report } from '../../runtime/kind.ts';
import { ServiceApplier, type ServiceApplierOptions } from './apply.ts';
import {
  type LookOptions,
  type ServiceObservation,
  ServiceObserver,
  type ServiceObserverOptions,
  type ServiceSubject,
} from './observe.ts';
import { declarerOf, drainMsOf, type ServiceLook, type ServicePart } from './part.ts';
import { planService, planServiceEnd, planTended } from './plan.ts';
import { readyMessage, serviceStatus } from './report.ts';
import type { ServicePlan, ServiceWish } from './types.ts';

export interface CatalogPartOptions extends ServiceObserverOptions, ServiceApplierOptions {
  /** Where instances are registered. */
  readonly datacenter: () => string;
}

/** `registration: Catalog`: instances on nodes of the catalog, and the checks that this process runs of them. */
export class CatalogPart implements ServicePart {
  readonly #options: CatalogPartOptions;
  readonly #observer: ServiceObserver;
  readonly #applier: ServiceApplier;

  constructor(options: CatalogPartOptions) {
    this.#options = options;
    this.#observer = new ServiceObserver(options);
    this.#applier = new ServiceApplier(options);
  }

  async look(subject: ServiceSubject, options: LookOptions): Promise<ServiceLook> {
    const observed = await this.#observer.observe(subject, options);
    return {
      record: observed.facts.record,
      plan: () => this.#plan(subject, observed),
      apply: change => this.#applier.apply(subject, change, observed),
      report: () => this.#report(observed),
    };
  }

  forget(ref: ResourceRef): void {
    this.#options.serviceMirror.track(ref, []);
    this.#options.health.forget(ref);
  }

  /** @throws RetryableError when what was to be read for it could not be, and there is nothing else to do. */
  #plan(subject: ServiceSubject, { desire, tended, facts }: ServiceObservation): ServicePlan {
    const { installId, gate } = this.#options;
    const { ref, resource, deleting } = subject;
    if (deleting) {
      const onDelete = subject.onDelete ?? facts.record?.head.onDelete ?? 'Retain';
      return planServiceEnd(facts, { installId, onDelete, drainMs: drainMsOf(resource) });
    }
    if (resource !== undefined && desire?.kind === 'desired') {
      return planService(desire.wish, facts, declarerOf(subject, resource, { installId, epoch: gate.epoch }));
    }
    const uid = resource?.metadata.uid ?? facts.record?.head.uid ?? '';
    const leaver = { installId, ref, uid, drainMs: drainMsOf(resource) };
    return (tended && planTended(tended, facts, leaver)) ?? obstacleIn(desire);
  }

  #report({ desire, facts }: ServiceObservation): Report {
    const { serviceMirror, datacenter, installId } = this.#options;
    const names = facts.record === undefined ? [] : listedNames(facts.record).keys();
    return {
      message: readyMessage(desire?.kind === 'desired' ? desire.wish : NO_WISH, facts),
      driftSeen: serviceMirror.coverage(catalogInstances(names)),
      datacenter: datacenter(),
      status: serviceStatus(facts, installId),
    };
  }
}

function obstacleIn(desire: ServiceObservation['desire']): ServicePlan {
  if (desire === undefined || desire.kind === 'desired') return { kind: 'noop', drifted: [] };
  if (desire.kind === 'unread') throw desire.error;
  const { present: _present, ...obstacle } = desire;
  return { ...obstacle, isSeen: true };
}

const NO_WISH: ServiceWish = { instances: new Map(), missing: undefined };
