import type { ConsulService } from './consulservice.ts';
import { DEFAULT_REGISTRATION, type REGISTRATIONS } from './consulservice-cel.ts';

export type Registration = (typeof REGISTRATIONS)[number];

/** What is in effect: the spec's own, else the defaults that the field descriptions name. */
export interface ServiceSettings {
  /** Of the service in Consul. */
  readonly name: string;
  readonly registration: Registration;
  readonly enableTagOverride: boolean;
  readonly weights: { readonly passing: number; readonly warning: number };
  readonly drainSeconds: { readonly instances: number; readonly kubernetes: number };
}

const DEFAULT_DRAIN_SECONDS = { instances: 0, kubernetes: 5 } as const;

export function serviceSettingsOf({
  metadata,
  spec,
}: Pick<ConsulService, 'spec'> & {
  readonly metadata: Pick<ConsulService['metadata'], 'name'>;
}): ServiceSettings {
  const { drainSeconds: drain, weights = {} } = spec;
  const { passing = 1, warning = 1 } = weights;
  return {
    name: spec.name ?? metadata.name,
    registration: spec.registration ?? DEFAULT_REGISTRATION,
    enableTagOverride: spec.enableTagOverride ?? false,
    weights: { passing, warning },
    drainSeconds: {
      instances: drain ?? DEFAULT_DRAIN_SECONDS.instances,
      kubernetes: drain ?? DEFAULT_DRAIN_SECONDS.kubernetes,
    },
  };
}
