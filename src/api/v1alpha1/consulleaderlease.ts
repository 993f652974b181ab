import { z } from 'zod';
import { MAX_HOLDERS } from '../../core/lease-keys.ts';
import { commonSpecFields, effectiveFields, specObjectWith, statusObject } from './common.ts';
import {
  DEFAULT_LEADER_LABEL,
  LEASE_RULES,
  MAX_LABEL_KEY_CHARS,
  MAX_LABELS,
  MAX_PORTS,
  MAX_REQUIREMENTS,
  PORT_RULES,
  REQUIREMENT_RULES,
  SELECTOR_RULES,
  SERVICE_RULES,
  SESSION_RULES,
  TARGET_PORT,
} from './consulleaderlease-cel.ts';
import { leaseProblem } from './consulleaderlease-problem.ts';
import { COLUMNS, type KindDefinition } from './definition.ts';
import { durationMs } from './duration-rules.ts';
import { issueSentence, type Parsed, type ParsedSpec, parseResource, type Resource } from './resource.ts';

const labelKey = z.string().min(1).max(MAX_LABEL_KEY_CHARS);
const labelValue = z.string().max(63);

const requirement = z
  .object({
    key: labelKey.describe('Key of the label.'),
    operator: z
      .enum(['In', 'NotIn', 'Exists', 'DoesNotExist'])
      .describe('How the label is compared. NotIn and DoesNotExist also match a Pod that lacks the label.'),
    values: z.array(labelValue.describe('A value of the label.')).max(64).exactOptional().meta({
      description: 'Values for In and NotIn, at least one; none for Exists and DoesNotExist.',
      'x-kubernetes-list-type': 'atomic',
    }),
  })
  .meta({
    description: 'One requirement on a label.',
    'x-kubernetes-validations': REQUIREMENT_RULES,
  });

const selector = z
  .object({
    matchLabels: z
      .record(z.string(), labelValue.describe('The value that the label must have.'))
      .exactOptional()
      .meta({
        description: 'Labels that a Pod must have, with exactly these values. At most 64.',
        maxProperties: MAX_LABELS,
      }),
    matchExpressions: z.array(requirement).max(MAX_REQUIREMENTS).exactOptional().meta({
      description: 'Further requirements on labels. All of them must hold, and all of matchLabels.',
      'x-kubernetes-list-type': 'atomic',
    }),
  })
  .meta({
    description:
      'Which Pods, as in a Deployment: all requirements must hold. Must not be empty, and must not name the leaderLabel.',
    'x-kubernetes-map-type': 'atomic',
    'x-kubernetes-validations': SELECTOR_RULES,
  });

const duration = z.string().min(1).max(32).exactOptional();

const session = z
  .object({
    ttl: duration.describe(
      'How long a lease may go without renewal, 10s to 24h. Consul frees a lease that nobody renews after twice this time. Defaults to 15s.',
    ),
    lockDelay: duration.describe(
      'How long a lease stays closed after its holder was lost without having been released, 0s to 60s. Defaults to 5s.',
    ),
  })
  .exactOptional()
  .meta({
    description:
      'Times of the Consul sessions that hold the lease. A change applies from the next holder on. Only for heldBy: Operator; applications choose their own.',
    'x-kubernetes-validations': SESSION_RULES,
  });

const portNumber = z.int().min(1).max(65_535);

const servicePort = z
  .object({
    name: z
      .string()
      .min(1)
      .max(63)
      .exactOptional()
      .describe('Name of the port, a DNS label. Needed when there is more than one.'),
    port: portNumber.describe('Port of the Service.'),
    targetPort: z
      .union([portNumber, z.string().min(1).max(15).regex(TARGET_PORT)])
      .exactOptional()
      .meta({
        description:
          'Port of the leading Pod, as a number or as the name of a port of one of its containers. Defaults to port.',
        'x-kubernetes-int-or-string': true,
      }),
    protocol: z.enum(['TCP', 'UDP', 'SCTP']).exactOptional().describe('Defaults to TCP.'),
  })
  .meta({ description: 'One port of the Service.', 'x-kubernetes-validations': PORT_RULES });

const service = z
  .object({
    name: z
      .string()
      .min(1)
      .max(63)
      .describe(
        'Name of the Service, in the namespace of this resource. One of that name that was not made for this resource is left alone, with the reason AlreadyExists.',
      ),
    ports: z.array(servicePort).min(1).max(MAX_PORTS).meta({
      description: 'Its ports, 1 to 32.',
      'x-kubernetes-list-type': 'atomic',
    }),
  })
  .exactOptional()
  .meta({
    description:
      'A Service without selector and its EndpointSlices, made and kept pointing at whoever leads; removed with this resource.',
    'x-kubernetes-validations': SERVICE_RULES,
  });

const DEFAULTS = {
  heldBy: 'Operator',
  handover: 'Immediate',
  ttl: '15s',
  lockDelay: '5s',
  holders: 1,
} as const;

const leaseCommon = {
  datacenter: commonSpecFields.datacenter,
  deletionPolicy: z
    .enum(['Delete'])
    .exactOptional()
    .describe(
      'What happens in Consul when this resource is deleted: the lease is released and its keys are removed. There is no other value. Defaults to Delete.',
    ),
  suspend: z
    .boolean()
    .exactOptional()
    .describe(
      'True: the lease is neither granted nor moved nor released; the sessions of present holders are still renewed, and deleting still works. Defaults to false.',
    ),
} as const;

const specSchema = specObjectWith(
  leaseCommon,
  {
    key: z
      .string()
      .min(1)
      .max(512)
      .exactOptional()
      .describe(
        'Key of the lock in Consul. Printable, no empty, "." or ".." segment, no "/" at an edge, no "%", no space at an edge, at most 512 bytes, not under "proconsul/" or "proconsul-private/". Defaults to proconsul/<install id>/leases/<namespace>/<name>. Cannot be changed: make a new resource instead.',
      ),
    candidates: z
      .object({ selector })
      .describe(
        'Which Pods may lead: those of this namespace that the selector matches, while they are Ready.',
      ),
    heldBy: z
      .enum(['Operator', 'Application'])
      .exactOptional()
      .describe(
        'Who takes the lock. Operator: the operator holds a Consul session for the leading Pod. Application: the Pods take the lock themselves; the operator only shows who holds it and routes to it. Defaults to Operator.',
      ),
    session,
    handover: z
      .enum(['Immediate', 'AfterLockDelay'])
      .exactOptional()
      .describe(
        'What happens when a holder dies or is Ready no more. Immediate: its lease is released and goes to the next candidate at once. AfterLockDelay: first lockDelay passes. Only for heldBy: Operator. Defaults to Immediate.',
      ),
    holders: z
      .int()
      .min(1)
      .max(MAX_HOLDERS)
      .exactOptional()
      .describe(
        'How many Pods may lead at once, 1 to 32. With more than one the locks are <key>/0 to <key>/N-1. Defaults to 1.',
      ),
    service,
    leaderLabel: labelKey
      .exactOptional()
      .describe(
        `Key of the label that leading Pods carry with the value "true"; it is removed from Pods that lead no more. Must not stand in the selector. Defaults to ${DEFAULT_LEADER_LABEL}.`,
      ),
  },
  LEASE_RULES,
);

const text = (description: string) => z.string().exactOptional().describe(description);

const holder = z
  .object({
    name: z.string().describe('The holder: the name of a Pod, or what an application calls itself.'),
    uid: text('Uid of the Pod, where it is known.'),
    sessionID: text('The Consul session that holds the lock.'),
    fencingToken: text(
      'Digits of a number that grows with every grant of this lease: whoever shows a lower one than was seen before leads no more.',
    ),
    acquiredTime: z.iso.datetime({ offset: true }).exactOptional().describe('Since when it has led.'),
  })
  .describe('One holder of the lease.');

const statusSchema = statusObject({
  effective: z
    .object({
      ...effectiveFields,
      key: text('Key of the lock in Consul; with more than one holder what stands before /0, /1 and so on.'),
      heldBy: text('Who takes the lock.'),
      handover: text('What happens when a holder dies or is Ready no more.'),
      holders: z.int().exactOptional().describe('How many Pods may lead at once.'),
      ttl: text('The TTL that new sessions get.'),
      lockDelay: text('The lock-delay that new sessions get.'),
      leaderLabel: text('Key of the label that leading Pods carry.'),
    })
    .exactOptional()
    .describe('What is in effect, defaults filled in.'),
  holders: z.array(holder).exactOptional().meta({
    description: 'Who leads, as Consul has it.',
    'x-kubernetes-list-type': 'atomic',
  }),
  transitions: z
    .int()
    .min(0)
    .exactOptional()
    .describe('How often the lease went to a holder after it had had one before.'),
  highestFencingToken: text(
    'The highest fencing token that anybody has had. It stays while nobody leads, so that tokens go on growing when Consul was restored or rebuilt meanwhile.',
  ),
});

export type ConsulLeaderLeaseSpec = Readonly<z.output<typeof specSchema>>;
export type ConsulLeaderLeaseStatus = Readonly<z.output<typeof statusSchema>>;
export type ConsulLeaderLease = Resource<ConsulLeaderLeaseSpec, ConsulLeaderLeaseStatus>;
export type LabelSelector = ConsulLeaderLeaseSpec['candidates']['selector'];
export type LeaseServicePort = NonNullable<ConsulLeaderLeaseSpec['service']>['ports'][number];
export type LeaseHolder = NonNullable<ConsulLeaderLeaseStatus['holders']>[number];

/** What is in effect: the spec's own, else the defaults that the field descriptions name. */
export interface LeaseSettings {
  readonly heldBy: 'Operator' | 'Application';
  readonly handover: 'Immediate' | 'AfterLockDelay';
  readonly holders: number;
  /** As written: `15s`. */
  readonly ttl: string;
  readonly ttlSeconds: number;
  readonly lockDelay: string;
  readonly lockDelaySeconds: number;
  readonly leaderLabel: string;
  readonly suspend: boolean;
}

/** @throws TypeError for durations that `parseConsulLeaderLease` would not have let pass. */
export function leaseSettingsOf(spec: ConsulLeaderLeaseSpec): LeaseSettings {
  const { ttl = DEFAULTS.ttl, lockDelay = DEFAULTS.lockDelay } = spec.session ?? {};
  return {
    heldBy: spec.heldBy ?? DEFAULTS.heldBy,
    handover: spec.handover ?? DEFAULTS.handover,
    holders: spec.holders ?? DEFAULTS.holders,
    ttl,
    ttlSeconds: durationMs(ttl) / 1000,
    lockDelay,
    lockDelaySeconds: durationMs(lockDelay) / 1000,
    leaderLabel: spec.leaderLabel ?? DEFAULT_LEADER_LABEL,
    suspend: spec.suspend ?? false,
  };
}

/** Reads a ConsulLeaderLease as the API server hands it out and holds it to every rule of the CRD. Never throws. */
export function parseConsulLeaderLease(
  object: unknown,
): Parsed<ConsulLeaderLeaseSpec, ConsulLeaderLeaseStatus> {
  return parseResource(object, { spec: parseSpec, status: statusSchema });
}

function parseSpec(raw: unknown): ParsedSpec<ConsulLeaderLeaseSpec> {
  const parsed = specSchema.safeParse(raw);
  if (!parsed.success) return { ok: false, problem: issueSentence(parsed.error, 'spec') };
  const problem = leaseProblem(parsed.data);
  return problem === undefined ? { ok: true, value: parsed.data } : { ok: false, problem };
}

export const consulLeaderLease: KindDefinition = {
  kind: 'ConsulLeaderLease',
  plural: 'consulleaderleases',
  singular: 'consulleaderlease',
  shortNames: ['clease'],
  description:
    'Leader election among Pods by locks in Consul: which Pods may lead, how many at once, and what points at those that do.',
  spec: specSchema,
  status: statusSchema,
  columns: [
    { ...COLUMNS.ready, description: 'Whether somebody holds the lease.' },
    {
      name: 'Holder',
      type: 'string',
      jsonPath: '.status.holders[0].name',
      description: 'Who leads; with several holders, the first one.',
    },
    {
      name: 'Since',
      type: 'date',
      jsonPath: '.status.holders[0].acquiredTime',
      description: 'Time since it has led; with several holders, the first one.',
    },
    {
      name: 'Transitions',
      type: 'integer',
      jsonPath: '.status.transitions',
      description: 'How often the lease went from one holder to the next.',
    },
    COLUMNS.age,
    { ...COLUMNS.reason, wide: true },
    COLUMNS.message,
  ],
  selectableFields: ['.spec.key', '.spec.datacenter'],
};
