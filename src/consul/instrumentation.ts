import { type Span, SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api';
import type { Clock } from '../core/clock.ts';
import { ATTRIBUTES } from '../telemetry/names.ts';
import type { ConsulAddress } from './address.ts';

/** One request to Consul as metrics want it: few distinct values, nothing of its content. */
export interface RequestSample {
  readonly method: string;
  /** `/v1/kv/{key}` */
  readonly template: string;
  /** Its duration is then how long there was no news. */
  readonly blocking: boolean;
  /** Undefined when no answer came. */
  readonly status: number | undefined;
  /** Code of the error that the request ended in, `ABORTED` included. */
  readonly error: string | undefined;
  readonly durationMs: number;
}

export interface Instruments {
  readonly tracer: Tracer;
  readonly clock: Clock;
  readonly onRequest: ((sample: RequestSample) => void) | undefined;
}

interface Attempt {
  readonly method: string;
  readonly template: string;
  readonly blocking: boolean;
  readonly address: ConsulAddress;
  /** How often the same call was sent before. */
  readonly resend: number;
}

/**
 * Measures one attempt of a request. Attributes are an allow-list: keys, values, queries and tokens are not on it.
 * Names: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span
 */
export class Measurement {
  readonly #attempt: Attempt;
  readonly #instruments: Instruments;
  readonly #span: Span;
  readonly #startedAt: number;
  #status: number | undefined;

  constructor(attempt: Attempt, instruments: Instruments) {
    this.#attempt = attempt;
    this.#instruments = instruments;
    this.#startedAt = instruments.clock.monotonic();
    this.#span = instruments.tracer.startSpan(`${attempt.method} ${attempt.template}`, {
      kind: SpanKind.CLIENT,
      attributes: {
        [ATTRIBUTES.httpMethod]: attempt.method,
        [ATTRIBUTES.urlTemplate]: attempt.template,
        [ATTRIBUTES.serverAddress]: attempt.address.host,
        [ATTRIBUTES.serverPort]: attempt.address.port,
        ...(attempt.resend > 0 && { [ATTRIBUTES.httpResend]: attempt.resend }),
      },
    });
  }

  answered(status: number): void {
    this.#status = status;
    this.#span.setAttribute(ATTRIBUTES.httpStatus, status);
  }

  succeeded(): void {
    this.#end(undefined);
  }

  /** A request that we cut short ourselves is no error. */
  aborted(): void {
    this.#end('ABORTED');
  }

  failed(code: string): void {
    this.#span.setAttribute(ATTRIBUTES.errorType, code);
    this.#span.setStatus({ code: SpanStatusCode.ERROR });
    this.#end(code);
  }

  #end(error: string | undefined): void {
    this.#span.end();
    const { clock, onRequest } = this.#instruments;
    const { method, template, blocking } = this.#attempt;
    onRequest?.({
      method,
      template,
      blocking,
      status: this.#status,
      error,
      durationMs: clock.monotonic() - this.#startedAt,
    });
  }
}
