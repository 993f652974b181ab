import { ANNOTATION_RECONCILE_AT, type CommonStatus } from '../api/v1alpha1/common.ts';
import { type ResourceKey, type ResourceRef, resourceRef } from '../core/resource.ts';
import type { Ending } from './ending.ts';
import type { AppliedWork } from './kind.ts';
import type { StoredObject } from './objects.ts';
import type { TurnResult } from './workers.ts';

/** The span of one turn, as far as the shell needs it. */
export interface TurnSpan {
  readonly traceId: string | undefined;
  step<T>(name: 'observe' | 'plan' | 'apply' | 'status', run: () => T | Promise<T>): Promise<T>;
  note(facts: { readonly result?: string; readonly reason?: string; readonly plan?: string }): void;
  failed(error: unknown): void;
}

/** For metrics. One of `settled`, `aborted` and `panicked` is called, once. */
export interface TurnObserver {
  /** A change was seen through, by this turn and maybe some before it that failed: once a change. */
  applied(work: AppliedWork): void;
  settled(ending: Ending, next: TurnResult): void;
  /** Cut short by shutdown or by losing the lead. */
  aborted(): void;
  /** It threw, which is a defect. */
  panicked(): void;
}

export interface TurnStart<Raw extends StoredObject> {
  readonly key: ResourceKey;
  readonly object: Raw | undefined;
  readonly signal: AbortSignal;
  readonly span: TurnSpan;
  readonly observer: TurnObserver;
}

/** One turn's view of its object, which its own writes move on. */
export class TurnState<Raw extends StoredObject> {
  readonly key: ResourceKey;
  readonly ref: ResourceRef;
  readonly found: Raw | undefined;
  readonly signal: AbortSignal;
  readonly span: TurnSpan;
  readonly observer: TurnObserver;
  /** As it stands now; undefined once it is gone. */
  object: Raw | undefined;

  constructor({ key, object, signal, span, observer }: TurnStart<Raw>) {
    this.key = key;
    this.ref = resourceRef(key);
    this.found = object;
    this.object = object;
    this.signal = signal;
    this.span = span;
    this.observer = observer;
  }

  /** The object as last seen: what Events are about when it is gone. */
  get lastSeen(): Raw | undefined {
    return this.object ?? this.found;
  }

  /** The user asks for a look at Consul itself. */
  isForced(): boolean {
    const asked = this.found?.metadata.annotations?.[ANNOTATION_RECONCILE_AT];
    const handled = (this.found?.status as CommonStatus | undefined)?.lastHandledReconcileAt;
    return asked !== undefined && asked !== handled;
  }
}
