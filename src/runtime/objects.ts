import type { ResourceRef } from '../core/resource.ts';
import type { Notice } from './notices.ts';

/** An object as the API server handed it out. */
export interface StoredObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly deletionTimestamp?: string;
    readonly generation?: number;
    readonly finalizers?: readonly string[];
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly status?: unknown;
}

/** What the shell needs of Kubernetes; every write takes the object's resourceVersion as its precondition. */
export interface Objects<Raw extends StoredObject> {
  /** As last heard, which may be a while ago. */
  get(ref: ResourceRef): Raw | undefined;
  /** As it is now, by the API server itself. */
  lookUp(ref: ResourceRef, signal: AbortSignal): Promise<Raw | undefined>;
  /** Each resolves with the object as it stands now, or undefined when it is gone. @throws ConflictError */
  writeStatus(object: Raw, status: object, signal: AbortSignal): Promise<Raw | undefined>;
  addFinalizer(object: Raw, signal: AbortSignal): Promise<Raw | undefined>;
  removeFinalizer(object: Raw, signal: AbortSignal): Promise<Raw | undefined>;
  notify(object: Raw, notice: Notice): void;
}

export function isDeleting({ metadata }: StoredObject): boolean {
  return metadata.deletionTimestamp !== undefined;
}
