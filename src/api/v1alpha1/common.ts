import { z } from 'zod';

/**
 * What every kind shares: the names users meet and the fields of spec and status that all kinds have. A kind adds
 * one file beside this one and an entry in `kinds.ts`.
 */
export const GROUP = 'proconsul.dev';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** On a resource only while its `deletionPolicy` is `Delete`. */
export const FINALIZER = 'proconsul.dev/finalizer';

/** Any new value asks for a reconcile now; `status.lastHandledReconcileAt` echoes it. */
export const ANNOTATION_RECONCILE_AT = 'proconsul.dev/reconcile-at';

/** Condition types, with what each tells. `Reconciling` and `Stalled` are present only while True (kstatus). */
export const CONDITION_TYPES = {
  Ready:
    'True: Consul equals the spec at observedGeneration, or differs only as driftPolicy allows. Unknown: Consul cannot be reached.',
  Reconciling: 'Present and True while the last turn ended undone and is tried again.',
  Stalled: 'Present and True while only a change by the user can move the resource on.',
  Drifted:
    'True: somebody changed in Consul what this resource owns, and driftPolicy leaves it so; the message names what differs. False otherwise.',
} as const;

/** Every reason an Event can carry, with what it tells. */
export const EVENT_REASONS = {
  Created: 'The declared objects were written to Consul for the first time.',
  Updated: 'A changed declaration was written to Consul.',
  Deleted: 'The resource was deleted, and what it owned in Consul is gone.',
  Adopted: 'An object that existed in Consul without an owner now belongs to this resource.',
  DriftCorrected: 'Consul had been changed from outside and was put back.',
  DriftDetected: 'Consul was changed from outside and is left so (driftPolicy: Report).',
  Conflict: 'Another resource or operator install owns what this one declares.',
  Stalled: 'Only a change by the user can move the resource on; the note says which.',
  DeletionBlocked: 'What the resource owns in Consul could not be removed yet.',
  Resumed: 'spec.suspend was taken back.',
  LeaderChanged: 'Another candidate holds the lease.',
} as const;

export type EventReason = keyof typeof EVENT_REASONS;

/** One rule of a CRD in CEL (`x-kubernetes-validations`). Each names the field it blames. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
  /** Relative to the object the rule stands on: `.key`. */
  readonly fieldPath: string;
}

/** DNS label of RFC 1123. */
export const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

const specDescription =
  'What Consul should hold. Fields left out have the defaults their descriptions name; the values in effect stand in status.effective.';

/** Spec fields of every kind. No `default`: one in the schema makes GitOps tools show differences for ever. */
export const commonSpecFields = {
  datacenter: z
    .string()
    .min(1)
    .max(63)
    .exactOptional()
    .describe(
      'Consul datacenter to write to, a DNS label. Defaults to the datacenter of the agent the operator talks to; any other is not supported yet and ends in the reason UnsupportedByConsul. Cannot be changed, set or unset later: make a new resource instead.',
    ),
  deletionPolicy: z
    .enum(['Delete', 'Retain'])
    .exactOptional()
    .describe(
      'What happens in Consul when this resource is deleted: Delete removes what it owns there, Retain leaves everything as it is. Defaults to Delete.',
    ),
  adoptionPolicy: z
    .enum(['Never', 'IfEqual', 'Always'])
    .exactOptional()
    .describe(
      'What to do with an object that already exists in Consul and has no owner: Never leaves it alone, IfEqual takes it over when it already equals this spec, Always takes it over and overwrites it. What another resource or install owns is never taken. Defaults to IfEqual.',
    ),
  driftPolicy: z
    .enum(['Correct', 'Report', 'Ignore'])
    .exactOptional()
    .describe(
      'What to do when somebody changes in Consul what this resource owns: Correct puts it back, Report only shows it in the Drifted condition, Ignore does not look. A changed spec, ConfigMap or Secret is written under every policy. Defaults to Correct.',
    ),
  suspend: z
    .boolean()
    .exactOptional()
    .describe(
      'True stops all new writes to Consul for this resource; deleting it still works. Defaults to false.',
    ),
} as const;

/** A kind's spec: the common fields, its own, and the rules that look at more than one of them. */
export function specObject<const Fields extends z.ZodRawShape>(fields: Fields, rules: readonly CelRule[]) {
  return specObjectWith(commonSpecFields, fields, rules);
}

/** For a kind that has only some of the common fields; `datacenter` is one of them. */
export function specObjectWith<
  const Common extends Pick<typeof commonSpecFields, 'datacenter'>,
  const Fields extends z.ZodRawShape,
>(common: Common, fields: Fields, rules: readonly CelRule[]) {
  return z.object({ ...fields, ...common }).meta({
    description: specDescription,
    'x-kubernetes-validations': [...rules, ...commonSpecRules],
  });
}

const commonSpecRules: readonly CelRule[] = [
  {
    rule: `!has(self.datacenter) || self.datacenter.matches('${DNS_LABEL.source}')`,
    message: 'datacenter must be a DNS label: lower-case letters, digits and -, neither first nor last a -',
    fieldPath: '.datacenter',
  },
  immutable('datacenter'),
];

/** An identity field: what it names in Consul would be left behind if it moved. Also from absent to set and back. */
export function immutable(field: string): CelRule {
  const before = `oldSelf.${field}`;
  const now = `self.${field}`;
  return {
    rule: `has(${now}) == has(${before}) && (!has(${now}) || ${now} == ${before})`,
    message: `${field} cannot be changed, set or unset: make a new resource instead`,
    fieldPath: `.${field}`,
  };
}

export type CommonSpec = Readonly<z.output<z.ZodObject<typeof commonSpecFields>>>;
export type DeletionPolicy = NonNullable<CommonSpec['deletionPolicy']>;
export type AdoptionPolicy = NonNullable<CommonSpec['adoptionPolicy']>;
export type DriftPolicy = NonNullable<CommonSpec['driftPolicy']>;

export interface Policies {
  readonly deletionPolicy: DeletionPolicy;
  readonly adoptionPolicy: AdoptionPolicy;
  readonly driftPolicy: DriftPolicy;
  readonly suspend: boolean;
}

/** The policies in effect: the spec's own, else the defaults that the field descriptions name. */
export function policiesOf(spec: CommonSpec): Policies {
  return {
    deletionPolicy: spec.deletionPolicy ?? 'Delete',
    adoptionPolicy: spec.adoptionPolicy ?? 'IfEqual',
    driftPolicy: spec.driftPolicy ?? 'Correct',
    suspend: spec.suspend ?? false,
  };
}

const time = (description: string) => z.iso.datetime({ offset: true }).exactOptional().describe(description);

/** `metav1.Condition`, with its bounds. */
const conditionSchema = z
  .object({
    type: z
      .string()
      .min(1)
      .max(316)
      .describe('What the condition is about: Ready, Reconciling, Stalled or Drifted.'),
    status: z.enum(['True', 'False', 'Unknown']).describe('Whether the condition holds.'),
    reason: z.string().min(1).max(1024).describe('Why, as one word for programs to read.'),
    message: z
      .string()
      .max(32_768)
      .describe('Why, as a sentence for people. Never holds a value from a Secret.'),
    observedGeneration: z.int().describe('The metadata.generation that this condition speaks of.'),
    lastTransitionTime: z.iso.datetime({ offset: true }).describe('When status last changed.'),
  })
  .describe('One aspect of the state, in the form of metav1.Condition.');

/** What `status.effective` says of every kind. */
export const effectiveFields = {
  datacenter: z.string().exactOptional().describe('The Consul datacenter written to.'),
  drift: z
    .enum(['Watched', 'Swept'])
    .exactOptional()
    .describe(
      'How an outside edit is noticed: Watched means at once, by a blocking query; Swept means at the next regular comparison.',
    ),
} as const;

/** `status.effective` of a kind that has every policy. */
export const effectiveSchema = z
  .object({
    deletionPolicy: z.enum(['Delete', 'Retain']).exactOptional().describe('The deletionPolicy in effect.'),
    adoptionPolicy: z
      .enum(['Never', 'IfEqual', 'Always'])
      .exactOptional()
      .describe('The adoptionPolicy in effect.'),
    driftPolicy: z
      .enum(['Correct', 'Report', 'Ignore'])
      .exactOptional()
      .describe('The driftPolicy in effect.'),
    ...effectiveFields,
  })
  .exactOptional()
  .describe('The policies and the datacenter in effect, defaults filled in.');

/** Status fields of every kind. */
export const commonStatusFields = {
  observedGeneration: z
    .int()
    .exactOptional()
    .describe(
      'The metadata.generation that this status speaks of; -1 until the operator has looked at the resource.',
    ),
  conditions: z
    .array(conditionSchema)
    .exactOptional()
    .describe(
      'Ready and Drifted, always; Reconciling while a turn is tried again; Stalled while only a change from outside the operator can help.',
    )
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] }),
  lastAppliedTime: time('When this resource last had something written to Consul.'),
  lastHandledReconcileAt: z
    .string()
    .exactOptional()
    .describe(`The value of the annotation ${ANNOTATION_RECONCILE_AT} that was last acted on.`),
  lastTraceID: z
    .string()
    .exactOptional()
    .describe('Trace id of the reconcile that last changed this status.'),
  effective: effectiveSchema,
} as const;

/** A kind's status: the common fields and its own, which win. A resource nobody has looked at is InProgress for kstatus. */
export function statusObject<const Fields extends z.ZodRawShape>(fields: Fields) {
  return z.object({ ...commonStatusFields, ...fields }).meta({
    description: 'What the operator found and did. Written by the operator only.',
    default: { observedGeneration: -1 },
  });
}

export type CommonStatus = Readonly<z.output<z.ZodObject<typeof commonStatusFields>>>;
