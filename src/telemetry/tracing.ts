import {
  type Attributes,
  type Context,
  context,
  type Span,
  type SpanOptions,
  SpanStatusCode,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import { AbortedError, ConflictError, RetryableError, TerminalError } from '../core/errors.ts';
import type { ResourceRef } from '../core/resource.ts';
import { ATTRIBUTES, SCOPE, SPANS, type StepName } from './names.ts';
import { linkFromAnnotations } from './traceparent.ts';

export interface ReconcileSpanOptions {
  readonly ref: ResourceRef;
  readonly generation: number;
  /** Id of the turn, as in its log lines. */
  readonly turn: string;
  /** The resource's annotations: where a caller leaves its `traceparent`. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** What is known of a reconcile once it is settled; every part is optional and may come in pieces. */
export interface ReconcileFacts {
  readonly result?: string;
  readonly reason?: string;
  readonly plan?: string;
  readonly actions?: number;
  /** Names of the fields or keys that differed, never their values. */
  readonly driftFields?: readonly string[];
}

/** The span of one reconcile. */
export interface ReconcileSpan {
  /** For `status.lastTraceID`: undefined when tracing is off or this trace is not sampled. */
  readonly traceId: string | undefined;
  /** Runs one part of the reconcile in a child span; requests made in it become children of that. */
  step<T>(name: StepName, run: () => T | Promise<T>): Promise<T>;
  note(facts: ReconcileFacts): void;
  /** Marks the reconcile as failed. For an error that was dealt with; one that is thrown marks itself. */
  failed(error: unknown): void;
}

/**
 * Runs one reconcile in a new trace, linked to the caller's if the resource names one. The span ends when `run`
 * does, whichever way; what `run` throws passes through. Without a tracing SDK it costs nothing.
 */
export function withReconcileSpan<T>(
  options: ReconcileSpanOptions,
  run: (span: ReconcileSpan) => Promise<T>,
): Promise<T> {
  const { ref, generation, turn, annotations } = options;
  const link = linkFromAnnotations(annotations);
  const attributes = {
    [ATTRIBUTES.kind]: ref.kind,
    [ATTRIBUTES.namespace]: ref.namespace,
    [ATTRIBUTES.name]: ref.name,
    [ATTRIBUTES.generation]: generation,
    [ATTRIBUTES.turn]: turn,
  };
  const spanOptions = { root: true, attributes, ...(link === undefined ? {} : { links: [link] }) };
  return withSpan(`${SPANS.reconcile} ${ref.kind}`, spanOptions, context.active(), span =>
    run({
      traceId: isSampled(span) ? span.spanContext().traceId : undefined,
      step: (name, step) => withSpan(SPANS[name], {}, context.active(), step),
      note: facts => span.setAttributes(attributesOf(facts)),
      failed: error => markFailed(span, error),
    }),
  );
}

/**
 * Runs one Consul transaction in a span of its own. A span has one parent, but a transaction may serve several
 * reconciles (group commit): it becomes a child of the first sampled turn and is linked both ways with the
 * others, so that every reconcile's trace leads to its request.
 *
 * @param turns `context.active()` of each turn, taken when it handed its operations in.
 */
export function withTransactionSpan<T>(
  turns: readonly Context[],
  operations: number,
  run: () => Promise<T>,
): Promise<T> {
  const waiting = turns.flatMap(turn => {
    const span = trace.getSpan(turn);
    return span !== undefined && isSampled(span) ? [{ turn, span }] : [];
  });
  const [first, ...others] = waiting;
  if (first === undefined) return run();
  const options = {
    attributes: { [ATTRIBUTES.operations]: operations, [ATTRIBUTES.turns]: turns.length },
    links: others.map(({ span }) => ({ context: span.spanContext() })),
  };
  return withSpan(SPANS.transaction, options, first.turn, transaction => {
    for (const { span } of others) span.addLink({ context: transaction.spanContext() });
    return run();
  });
}

async function withSpan<T>(
  name: string,
  options: SpanOptions,
  parent: Context,
  run: (span: Span) => T | Promise<T>,
): Promise<T> {
  return trace.getTracer(SCOPE).startActiveSpan(name, options, parent, async span => {
    try {
      return await run(span);
    } catch (error) {
      markFailed(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/**
 * Shutdown and losing the lead are no failures. Only messages of our own errors are shown, as they carry no
 * secrets; a library's may quote what it was given.
 */
function markFailed(span: Span, error: unknown): void {
  if (error instanceof AbortedError) {
    span.setAttribute(ATTRIBUTES.result, 'aborted');
    return;
  }
  if (error instanceof RetryableError || error instanceof ConflictError || error instanceof TerminalError) {
    span.setAttributes({ [ATTRIBUTES.errorType]: error.code, [ATTRIBUTES.reason]: error.reason });
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    return;
  }
  span.setAttribute(ATTRIBUTES.errorType, error instanceof Error ? error.name : typeof error);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

function attributesOf({ result, reason, plan, actions, driftFields }: ReconcileFacts): Attributes {
  return {
    ...(result === undefined ? {} : { [ATTRIBUTES.result]: result }),
    ...(reason === undefined ? {} : { [ATTRIBUTES.reason]: reason }),
    ...(plan === undefined ? {} : { [ATTRIBUTES.plan]: plan }),
    ...(actions === undefined ? {} : { [ATTRIBUTES.actions]: actions }),
    ...(driftFields === undefined ? {} : { [ATTRIBUTES.driftFields]: [...driftFields] }),
  };
}

function isSampled(span: Span): boolean {
  return (span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0;
}
