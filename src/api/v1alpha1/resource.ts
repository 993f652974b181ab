import { z } from 'zod';
import { clip } from '../../core/conditions.ts';
import { escapeUnprintable } from '../../core/printable.ts';
import type { CommonStatus, DeletionPolicy } from './common.ts';

const metadataSchema = z.object({
  name: z.string().min(1),
  namespace: z.string().min(1),
  uid: z.string().min(1),
  resourceVersion: z.string().min(1),
  generation: z.int(),
  creationTimestamp: z.string().exactOptional(),
  deletionTimestamp: z.string().exactOptional(),
  finalizers: z.array(z.string()).default([]),
  annotations: z.record(z.string(), z.string()).default({}),
});

/** The part of `metadata` that the operator reads. */
type ResourceMeta = Readonly<z.output<typeof metadataSchema>>;

/** One custom resource as the operator reads it. */
export interface Resource<Spec, Status extends CommonStatus> {
  readonly metadata: ResourceMeta;
  readonly spec: Spec;
  /** Empty when there is none, or one that cannot be read: it is written anew then. */
  readonly status: Partial<Status>;
}

/** What reading a spec gives: `problem` is a sentence for the user that starts with the field's path. */
export type ParsedSpec<Spec> =
  | { readonly ok: true; readonly value: Spec }
  | { readonly ok: false; readonly problem: string };

/**
 * What reading a resource gives. One whose spec is bad still shows what is needed to delete it and to write its
 * status: its metadata (undefined only when that itself is no Kubernetes metadata), its deletion policy, and whether it is
 * suspended.
 */
export type Parsed<Spec, Status extends CommonStatus> =
  | { readonly ok: true; readonly value: Resource<Spec, Status> }
  | {
      readonly ok: false;
      readonly problem: string;
      readonly metadata: ResourceMeta | undefined;
      readonly deletionPolicy: DeletionPolicy;
      readonly suspend: boolean;
      readonly status: Partial<Status>;
    };

interface ResourceReader<Spec, Status extends CommonStatus> {
  readonly spec: (raw: unknown) => ParsedSpec<Spec>;
  readonly status: z.ZodType<Status>;
}

/**
 * Reads an object as the API server hands it out, whatever version of the CRD stored it: fields this version does
 * not know are left out, a spec that breaks a rule is a `problem`. Never throws.
 */
export function parseResource<Spec, Status extends CommonStatus>(
  object: unknown,
  reader: ResourceReader<Spec, Status>,
): Parsed<Spec, Status> {
  const { metadata: rawMetadata, spec: rawSpec, status: rawStatus } = isObject(object) ? object : {};
  const metadata = metadataSchema.safeParse(rawMetadata);
  const status = reader.status.safeParse(rawStatus).data ?? {};
  const spec = reader.spec(rawSpec);
  if (metadata.success && spec.ok) {
    return { ok: true, value: { metadata: metadata.data, spec: spec.value, status } };
  }
  return {
    ok: false,
    problem: spec.ok ? issueSentence(metadata.error, 'metadata') : spec.problem,
    metadata: metadata.data,
    deletionPolicy: isObject(rawSpec) && rawSpec['deletionPolicy'] === 'Retain' ? 'Retain' : 'Delete',
    suspend: isObject(rawSpec) && rawSpec['suspend'] === true,
    status,
  };
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The first thing zod found wrong: `spec.dataFrom[2].prefix: expected string, received number`. */
export function issueSentence(error: z.ZodError | undefined, root: string): string {
  const issue = error?.issues[0];
  if (issue === undefined) return `${root} cannot be read`;
  return `${root}${issue.path.map(pathPart).join('')}: ${issue.message.replace(/^Invalid input: /, '')}`;
}

function pathPart(part: PropertyKey): string {
  if (typeof part === 'number') return `[${part}]`;
  const name = String(part);
  return /^\w+$/.test(name) ? `.${name}` : `[${quoted(name)}]`;
}

/** A user's name for a message: short, and with nothing in it that a terminal would act upon. */
export function quoted(name: string): string {
  return `"${escapeUnprintable(clip(name, 64))}"`;
}
