import type { z } from 'zod';
import type { CelRule } from './common.ts';

/** One column of `kubectl get`. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  /** True: shown by `kubectl get -o wide` only. */
  readonly wide?: true;
}

/** All that a CustomResourceDefinition is generated from. */
export interface KindDefinition {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly description: string;
  /** Rules on the whole resource, for what is asked of `metadata.name`: those on `spec` cannot see it. */
  readonly rules?: readonly CelRule[];
  readonly spec: z.ZodObject;
  readonly status: z.ZodObject;
  readonly columns: readonly PrinterColumn[];
  /** JSON paths that `--field-selector` can ask for; each must exist in the schema. */
  readonly selectableFields: readonly string[];
}

const ofReady = (field: 'status' | 'reason' | 'message') => `.status.conditions[?(@.type=="Ready")].${field}`;

/** Columns that kinds share. */
export const COLUMNS = {
  ready: {
    name: 'Ready',
    type: 'string',
    jsonPath: ofReady('status'),
    description: 'Whether Consul equals the spec.',
  },
  reason: {
    name: 'Reason',
    type: 'string',
    jsonPath: ofReady('reason'),
    description: 'Why Ready is what it is.',
  },
  drift: {
    name: 'Drift',
    type: 'string',
    jsonPath: '.status.conditions[?(@.type=="Drifted")].status',
    description: 'Whether Consul was changed from outside and left so.',
  },
  age: {
    name: 'Age',
    type: 'date',
    jsonPath: '.metadata.creationTimestamp',
    description: 'Time since the resource was made.',
  },
  message: {
    name: 'Message',
    type: 'string',
    jsonPath: ofReady('message'),
    description: 'What Ready says in words.',
    wide: true,
  },
  lastApplied: {
    name: 'Last Applied',
    type: 'date',
    jsonPath: '.status.lastAppliedTime',
    description: 'Time since something was last written to Consul.',
    wide: true,
  },
} as const satisfies Record<string, PrinterColumn>;
