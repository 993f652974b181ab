import { policiesOf } from '../../api/v1alpha1/common.ts';
import { serviceSettingsOf } from '../../api/v1alpha1/service-settings.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { OwnerRecord } from '../../ownership/record.ts';
import type { Receipt, Report } from '../../runtime/kind.ts';
import type { LookOptions, ServiceSubject } from './observe.ts';
import type { Declarer, DrainMs, ServiceChange, ServicePlan } from './types.ts';

/** How resources of one `registration` are kept. */
export interface ServicePart {
  /** @throws RetryableError when Consul or the API server does not answer, or does not show all that is asked for. */
  look(subject: ServiceSubject, options: LookOptions): Promise<ServiceLook>;
  /** Nothing is declared and nothing owned any more. */
  forget(ref: ResourceRef): void;
}

/** What one look gave, and what can be made of it. */
export interface ServiceLook {
  readonly record: OwnerRecord | undefined;
  plan(): ServicePlan;
  /** Carries out one step of the plan. */
  apply(change: ServiceChange): Promise<Receipt>;
  report(): Report;
}

export type ServiceResource = NonNullable<ServiceSubject['resource']>;

/** The resource as planners see it. */
export function declarerOf(
  { ref, onDelete }: ServiceSubject,
  resource: ServiceResource,
  { installId, epoch }: Pick<Declarer, 'installId' | 'epoch'>,
): Declarer {
  const { uid, generation } = resource.metadata;
  const { adoptionPolicy, driftPolicy } = policiesOf(resource.spec);
  const policies = { onDelete: onDelete ?? 'Delete', adoptionPolicy, driftPolicy };
  const { enableTagOverride } = serviceSettingsOf(resource);
  const settings = { enableTagOverride, drainMs: drainMsOf(resource) };
  return { installId, ref, uid, generation, epoch, ...policies, ...settings };
}

/** The default of one that cannot be read any more. */
export function drainMsOf(resource: ServiceResource | undefined): DrainMs {
  const { drainSeconds } = serviceSettingsOf(resource ?? { metadata: { name: '' }, spec: {} });
  return { instances: drainSeconds.instances * 1000, kubernetes: drainSeconds.kubernetes * 1000 };
}
