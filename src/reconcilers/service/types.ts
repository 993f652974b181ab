import type { AdoptionPolicy, DeletionPolicy, DriftPolicy } from '../../api/v1alpha1/common.ts';
import type { CatalogWrite } from '../../commit/operations.ts';
import type { AgentRegistration } from '../../consul/agent-services.ts';
import type { CheckRow, ServiceRow } from '../../consul/nodes.ts';
import type {
  CheckRegistration,
  CheckResult,
  NodeRegistration,
  ServiceRegistration,
} from '../../consul/registration.ts';
import type { CheckId, CheckPlace, NodeName, ServiceId } from '../../consul/service-ids.ts';
import type { ModifyIndex } from '../../consul/types.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { ClaimsView } from '../../ownership/ledger.ts';
import type { Owner } from '../../ownership/owner.ts';
import type { Head, OwnerRecord } from '../../ownership/record.ts';
import type { ProbeSpec } from '../../probes/spec.ts';
import type { KindPlan } from '../../runtime/kind.ts';

/** An instance as the resource declares it, wherever it comes from and however it is registered. */
export interface DeclaredInstance {
  readonly id: ServiceId;
  readonly address: string;
  /** 0: none. */
  readonly port: number;
  /** Those of the service among them. */
  readonly tags: readonly string[];
  readonly meta: ReadonlyMap<string, string>;
  /** Undefined: on a node of the operator, or of the agent. */
  readonly node: NodeName | undefined;
  readonly nodeAddress: string | undefined;
  /** Of an endpoint of Kubernetes; undefined for a fixed instance. */
  readonly isReady: boolean | undefined;
}

/** What the resource wants to stand in the catalog. */
export interface ServiceWish {
  readonly instances: ReadonlyMap<string, WishedInstance>;
  /** What is not there and keeps the resource from being Ready, though the rest of the wish holds. */
  readonly missing: { readonly reason: 'SourceNotFound'; readonly message: string } | undefined;
}

/** One service of the catalog, an instance or its sidecar. */
export interface WishedInstance {
  /** As records list it: `core/instance-names.ts`. */
  readonly name: string;
  readonly node: NodeRegistration;
  readonly service: ServiceRegistration;
  readonly checks: readonly WishedCheck[];
  /** Of the service and its checks, without what they say. */
  readonly fingerprint: string;
}

export interface WishedCheck {
  readonly check: CheckRegistration;
  readonly says:
    | { readonly kind: 'probe'; readonly spec: ProbeSpec; readonly deregisterAfterMs: number | undefined }
    /** The readiness of an endpoint. */
    | { readonly kind: 'known'; readonly result: CheckResult }
    /** Of a sidecar: the worst of what stands for the instance that it speaks for. */
    | { readonly kind: 'follows'; readonly serviceId: ServiceId };
}

export interface SeenInstance {
  readonly row: ServiceRow;
  /** All of them, those of others too. */
  readonly checks: readonly CheckRow[];
}

export interface SeenNode {
  readonly hasAgent: boolean;
  /** It carries `external-node`: consul-esm runs the checks there, and would fight ours. */
  readonly isOfEsm: boolean;
  /** Checks of the node itself count for the health of what stands on it. */
  readonly checks: readonly CheckRow[];
  /** The one of this id, whatever service it belongs to: a node has no two. */
  readonly check: (id: CheckId) => CheckRow | undefined;
}

/** What the checks that this process runs say. */
export interface HealthView {
  /** Undefined: it has not run here yet, and nothing was stored. */
  verdict(place: CheckPlace): CheckResult | undefined;
  /** For how long the verdict has been critical, as far as this process knows; undefined: it is not. */
  criticalForMs(place: CheckPlace): number | undefined;
  /** So many checks are critical at once that no instance is taken out for it; undefined: they are not. */
  readonly heldReaps?: HeldReaps | undefined;
}

/** Of the checks that may take out what stands. */
export interface HeldReaps {
  readonly critical: number;
  readonly total: number;
}

export interface ServiceFacts {
  readonly record: OwnerRecord | undefined;
  /** Known for every name that is wished or listed: a removal must not be planned on ignorance. */
  readonly seen: (name: string) => SeenInstance | undefined;
  /** Undefined: there is none. Known for the nodes of all those names. */
  readonly node: (node: NodeName) => SeenNode | undefined;
  readonly rival: (name: string) => Owner | undefined;
  readonly claims: ClaimsView;
  readonly health: HealthView;
  /** Wall clock, milliseconds: drains outlive a process. */
  readonly nowMs: number;
}

/** The resource as the planner sees it: what rides in its record, and how its settings read. */
export interface Declarer {
  readonly installId: string;
  readonly ref: ResourceRef;
  readonly uid: string;
  readonly generation: number;
  readonly epoch: number;
  readonly onDelete: DeletionPolicy;
  readonly adoptionPolicy: AdoptionPolicy;
  readonly driftPolicy: DriftPolicy;
  readonly enableTagOverride: boolean;
  readonly drainMs: DrainMs;
}

export interface DrainMs {
  readonly instances: number;
  readonly kubernetes: number;
}

/** Why an instance changes, for Events and metrics. */
export type Cause =
  | 'create'
  | 'update'
  | 'adopt'
  | 'correct'
  | 'remove'
  | 'drain'
  | 'reap'
  | 'return'
  | 'health'
  /** It stays, and is nobody's. */
  | 'release'
  | 'record';

/** One instance's part in a transaction. */
export interface InstanceChange {
  readonly name: string;
  readonly cause: Cause;
  /** Undefined: the record says the same as before. `to` undefined takes the name out. */
  readonly record: { readonly to: string | undefined } | undefined;
  readonly operations: readonly CatalogWrite[];
}

/** One service that no transaction carries. */
export interface RegisterChange {
  readonly name: string;
  readonly cause: Cause;
  readonly node: NodeName;
  readonly service: ServiceRegistration;
  /** Of what stands there; `NOT_THERE`: nothing. */
  readonly before: ModifyIndex;
}

/**
 * One thing to do; the planner is asked again after each, so that what a crash leaves behind is planned from like anything
 * else. Services without mesh fields: one `commit`, record and catalog in one transaction. Others:
 *
 * ```
 * commit     the record lists the name as claimed              transactions
 * register   the service is written, and read back             one request each
 * commit     its checks, and the record says what stands       transactions
 * ```
 */
export type ServiceChange =
  | {
      readonly step: 'commit';
      readonly instances: readonly InstanceChange[];
      /** As it should stand when all of them are done; undefined: the record goes. */
      readonly head: Head | undefined;
      /** Something is taken that another install might be taking. */
      readonly adopts: boolean;
    }
  | { readonly step: 'register'; readonly instances: readonly RegisterChange[] }
  | { readonly step: 'agent'; readonly writes: readonly AgentWrite[] };

export type AgentWrite =
  | {
      readonly verb: 'register';
      readonly name: string;
      readonly cause: Cause;
      /** Of what is declared. */
      readonly fingerprint: string;
      readonly registration: AgentRegistration;
    }
  | { readonly verb: 'deregister'; readonly name: string; readonly cause: Cause; readonly id: ServiceId }
  /** In maintenance an instance is critical, whatever its checks say. */
  | {
      readonly verb: 'maintain';
      readonly name: string;
      readonly cause: Cause;
      readonly id: ServiceId;
      /** Undefined: ends it. */
      readonly reason: string | undefined;
    };

export type ServicePlan = KindPlan<ServiceChange>;
