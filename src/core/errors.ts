/**
 * The error classes every layer speaks. What a class means for a resource is decided in one place,
 * `runtime/settle.ts`; what a status code or socket error means, in `consul/errors.ts` and `kube/errors.ts`.
 *
 * Messages reach users in conditions and Events: they name the thing and the way out and never carry a token
 * or a value.
 */
export interface ErrorDetails {
  /** Stable, upper snake case: `CONSUL_TIMEOUT`. Listed in `docs/errors.md`. */
  readonly code: string;
  /** Condition reason the user sees while the error lasts. */
  readonly reason: string;
  readonly cause?: unknown;
}

abstract class OperatorError extends Error {
  readonly code: string;
  readonly reason: string;

  constructor(message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = details.code;
    this.reason = details.reason;
  }
}

/** The other side is away, slow or overloaded; the same request may succeed later. */
export class RetryableError extends OperatorError {
  /** What the server asked for by `Retry-After`, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** True when the request may have been carried out although no answer came: read again before writing. */
  readonly outcomeUnknown: boolean;

  constructor(
    message: string,
    details: ErrorDetails & { readonly retryAfterMs?: number; readonly outcomeUnknown?: boolean },
  ) {
    super(message, details);
    this.retryAfterMs = details.retryAfterMs;
    this.outcomeUnknown = details.outcomeUnknown ?? false;
  }
}

/** Somebody else was faster: what was believed no longer holds. Observe again and decide anew. */
export class ConflictError extends OperatorError {}

/** Only a change of the resource, of its rights or of its surroundings can help; repeating the request cannot. */
export class TerminalError extends OperatorError {}

/** The turn was cut short by shutdown or by losing the lead. Nothing is reported, nothing is counted as failed. */
export class AbortedError extends OperatorError {
  constructor(message = 'aborted', cause?: unknown) {
    super(message, { code: 'ABORTED', reason: 'Aborted', cause });
  }
}

/** Whether an error is one of these classes: any other that ends a turn is a defect. */
export function isOperatorError(thrown: unknown): boolean {
  return thrown instanceof OperatorError;
}

/** The text of anything thrown, for messages and logs. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
