import { apiVersionOf, type ObjectReference, type ResourceType } from './types.ts';

export const EVENT: ResourceType = {
  group: 'events.k8s.io',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
};

export const REPORTING_CONTROLLER = 'proconsul.dev/operator';

/** What events.k8s.io/v1 takes. */
const MAX_NOTE_BYTES = 1024;
/** Object names go up to 253 characters; the rest of an Event's name needs some of them. */
const MAX_NAME_PREFIX = 220;

export interface EventNotice {
  /** From `referenceTo`. */
  readonly regarding: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, as in conditions. */
  readonly reason: string;
  /** What the operator was doing, in CamelCase: `Reconcile`, `Delete`. */
  readonly action: string;
  /** For people; cut to 1,024 bytes. */
  readonly note: string;
}

/** Repeated equal notices are one Event with a count. */
export interface EventSeries {
  readonly count: number;
  readonly lastObservedTime: string;
}

export function eventNamespace(notice: EventNotice): string {
  return notice.regarding.namespace ?? 'default';
}

/** `suffix` makes the name unique: one name, one series. */
export function eventName(notice: EventNotice, suffix: string): string {
  return `${notice.regarding.name.slice(0, MAX_NAME_PREFIX).replace(/[^a-z0-9]+$/, '')}.${suffix}`;
}

export function eventBody(
  notice: EventNotice,
  event: { name: string; instance: string; time: string; series?: EventSeries },
): object {
  const { regarding, type, reason, action, note } = notice;
  return {
    apiVersion: apiVersionOf(EVENT),
    kind: EVENT.kind,
    metadata: { name: event.name, namespace: eventNamespace(notice) },
    eventTime: event.time,
    reportingController: REPORTING_CONTROLLER,
    reportingInstance: event.instance,
    regarding,
    type,
    reason,
    action,
    note: clipBytes(note, MAX_NOTE_BYTES),
    ...(event.series === undefined ? {} : { series: event.series }),
  };
}

/** `metav1.MicroTime`: six digits, or the API server refuses it. */
export function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}

/** At most `maxBytes` of UTF-8, whole characters only. */
export function clipBytes(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= maxBytes) return text;
  let end = maxBytes;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}
