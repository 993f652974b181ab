import { type Attributes, type Context, type Link, SpanKind, TraceFlags } from '@opentelemetry/api';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  type SamplingResult,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace';

/**
 * Which traces are recorded. `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` decide, with two rules before
 * them:
 *
 * - A trace begins with a reconcile. Requests outside of one (watches, blocking queries, lists) have no trace.
 * - A reconcile that a sampled trace is linked to is sampled too, whatever the ratio (KEP-5915): who traces a
 *   change wants to see what came of it.
 *
 * As every trace begins in this process, a sampler and its `parentbased_` form mean the same.
 *
 * @param warn called with the name of a setting that is not understood and is left out, as OpenTelemetry demands.
 */
export function samplerFromEnv(env: NodeJS.ProcessEnv, warn: (setting: string) => void): Sampler {
  return new ParentBasedSampler({ root: new RootSampler(samplerByName(env, warn)) });
}

function samplerByName(env: NodeJS.ProcessEnv, warn: (setting: string) => void): Sampler {
  const name = env.OTEL_TRACES_SAMPLER?.trim() ?? '';
  switch (name.replace(/^parentbased_/, '')) {
    case '':
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio(env, warn));
    default:
      warn('OTEL_TRACES_SAMPLER');
      return new AlwaysOnSampler();
  }
}

function ratio(env: NodeJS.ProcessEnv, warn: (setting: string) => void): number {
  const text = env.OTEL_TRACES_SAMPLER_ARG?.trim() ?? '';
  const value = Number(text);
  if (text !== '' && value >= 0 && value <= 1) return value;
  warn('OTEL_TRACES_SAMPLER_ARG');
  return 1;
}

/** Asked only for spans that begin a trace. */
class RootSampler implements Sampler {
  readonly #otherwise: Sampler;

  constructor(otherwise: Sampler) {
    this.#otherwise = otherwise;
  }

  shouldSample(
    context: Context,
    traceId: string,
    name: string,
    kind: SpanKind,
    attributes: Attributes,
    links: Link[],
  ): SamplingResult {
    if (kind === SpanKind.CLIENT) return { decision: SamplingDecision.NOT_RECORD };
    if (links.some(({ context: linked }) => linked.traceFlags & TraceFlags.SAMPLED)) {
      return { decision: SamplingDecision.RECORD_AND_SAMPLED };
    }
    return this.#otherwise.shouldSample(context, traceId, name, kind, attributes, links);
  }

  toString(): string {
    return `RootSampler{${this.#otherwise.toString()}}`;
  }
}
