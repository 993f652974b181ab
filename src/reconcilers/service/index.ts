import { policiesOf } from '../../api/v1alpha1/common.ts';
import {
  type ConsulServiceSpec,
  type ConsulServiceStatus,
  parseConsulService,
} from '../../api/v1alpha1/consulservice.ts';
import { serviceSettingsOf } from '../../api/v1alpha1/service-settings.ts';
import { dryRun } from '../../commit/held-tenure.ts';
import { parseInstanceName } from '../../core/instance-names.ts';
import { type ResourceKey, type ResourceRef, resourceKey } from '../../core/resource.ts';
import { listedNames, type OwnerRecord } from '../../ownership/record.ts';
import type { Kind, KindPlan, Receipt, Report } from '../../runtime/kind.ts';
import { AgentPart, type AgentPartOptions } from './agent-part.ts';
import { CatalogPart, type CatalogPartOptions } from './catalog-part.ts';
import type { LookOptions, ServiceSubject } from './observe.ts';
import type { ServiceLook, ServicePart } from './part.ts';
import { summarize } from './report.ts';
import type { ServiceChange } from './types.ts';

export interface ServiceKindOptions extends CatalogPartOptions, AgentPartOptions {
  /** The agent's own: the only one that can be written to. */
  readonly datacenter: () => string;
}

/** Keeps instances in Consul, with the results of their checks, as ConsulService resources declare them. */
export class ConsulServiceKind
  implements Kind<ConsulServiceSpec, ConsulServiceStatus, ServiceLook, ServiceChange>
{
  readonly name = 'ConsulService';
  readonly tendsUnreadable = true;
  readonly parse = parseConsulService;
  readonly #options: ServiceKindOptions;
  readonly #catalog: CatalogPart;
  readonly #agent: AgentPart;
  /** Whose record the last transaction of a turn removed, until that turn looks again. */
  readonly #removed = new Set<ResourceKey>();

  constructor(options: ServiceKindOptions) {
    this.#options = options;
    this.#catalog = new CatalogPart(options);
    this.#agent = new AgentPart(options);
  }

  owns(ref: ResourceRef): boolean {
    return this.#options.ledger.record(ref) !== undefined;
  }

  recorded(ref: ResourceRef): { readonly uid: string; readonly generation: number } | undefined {
    return this.#options.ledger.record(ref)?.head;
  }

  forget(ref: ResourceRef): void {
    this.#catalog.forget(ref);
    this.#agent.forget(ref);
  }

  effective({ name }: ResourceRef, spec: ConsulServiceSpec): Readonly<Record<string, unknown>> {
    const settings = serviceSettingsOf({ metadata: { name }, spec });
    const { deletionPolicy, adoptionPolicy, driftPolicy } = policiesOf(spec);
    const policies = { deletionPolicy, adoptionPolicy, driftPolicy };
    return { name: settings.name, registration: settings.registration, ...policies };
  }

  async observe(
    subject: ServiceSubject,
    options: { readonly fresh: boolean; readonly signal: AbortSignal },
  ): Promise<ServiceLook> {
    const removedJustNow = this.#removed.delete(resourceKey(subject.ref));
    const how = { ...options, removedJustNow };
    const known = this.#options.ledger.record(subject.ref);
    const look = await this.#look(subject, known, how);
    // The record was read anew, and names what the other part has to deal with.
    const isOther = this.#partFor(subject, look.record) !== this.#partFor(subject, known);
    return isOther ? this.#look(subject, look.record, how) : look;
  }

  plan({ resource, deleting }: ServiceSubject, look: ServiceLook): KindPlan<ServiceChange> {
    const elsewhere = deleting ? undefined : this.#refuseDatacenter(resource?.spec.datacenter);
    return elsewhere ?? look.plan();
  }

  async apply({ ref }: ServiceSubject, change: ServiceChange, look: ServiceLook): Promise<Receipt> {
    if (this.#options.gate.isDryRun) throw dryRun(summarize(change));
    const receipt = await look.apply(change);
    if (receipt.kind !== 'refused' && !this.owns(ref)) this.#removed.add(resourceKey(ref));
    return receipt;
  }

  report(_subject: ServiceSubject, look: ServiceLook): Report {
    return look.report();
  }

  /** What a namesake of the other registration has left behind goes first, as that one wanted it. */
  #look(
    subject: ServiceSubject,
    record: OwnerRecord | undefined,
    options: LookOptions,
  ): Promise<ServiceLook> {
    const part = this.#partFor(subject, record);
    const isOwn = subject.deleting || part === this.#declaredPart(subject);
    if (isOwn) return part.look(subject, options);
    const onDelete = record?.head.onDelete ?? 'Retain';
    return part.look({ ...subject, deleting: true, onDelete }, options);
  }

  #partFor(subject: ServiceSubject, record: OwnerRecord | undefined): ServicePart {
    const [listed] = record === undefined ? [] : listedNames(record).keys();
    if (listed === undefined) return this.#declaredPart(subject);
    return parseInstanceName(listed)?.kind === 'agent' ? this.#agent : this.#catalog;
  }

  #declaredPart({ ref, resource }: ServiceSubject): ServicePart {
    if (resource === undefined) return this.#catalog;
    const { name } = ref;
    const { registration } = serviceSettingsOf({ metadata: { name }, spec: resource.spec });
    return registration === 'Agent' ? this.#agent : this.#catalog;
  }

  #refuseDatacenter(wanted: string | undefined): KindPlan<never> | undefined {
    const own = this.#options.datacenter();
    if (wanted === undefined || wanted === own) return undefined;
    const message = `spec.datacenter is ${wanted}; instances can only be registered in ${own}, the datacenter of the agent that the operator talks to`;
    return { kind: 'refuse', reason: 'UnsupportedByConsul', message };
  }
}
