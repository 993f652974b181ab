import type { Attributes, Meter, Observable, ObservableResult } from '@opentelemetry/api';
import { METRICS, type MetricDefinition } from './names.ts';

type Table = typeof METRICS;
type MetricKey = keyof Table;

/** The labels a metric takes, exactly: a missing or misspelt one does not compile. */
export type Labels<K extends MetricKey> = Readonly<Record<Table[K]['labels'][number], string>>;

type KeysOf<Shape> = { [K in MetricKey]: Table[K] extends Shape ? K : never }[MetricKey];
type RecordedCounter = KeysOf<{ kind: 'counter'; source: 'recorded' }>;
type RecordedGauge = KeysOf<{ kind: 'gauge'; source: 'recorded' }>;
type CountedGauge = KeysOf<{ kind: 'gauge'; source: 'counted' }>;
type Histogram = KeysOf<{ kind: 'histogram' }>;
type Observed = KeysOf<{ source: 'observed' }>;

type Recorder = (value: number, labels: Attributes) => void;

/** One value of an observed metric. */
export interface Observation<K extends Observed> {
  readonly value: number;
  readonly labels: Labels<K>;
}

/**
 * The instruments of the table in `names.ts`, each made when it is first used. Names, units and buckets come from
 * the table and nowhere else.
 */
export class Instruments {
  readonly #meter: Meter;
  readonly #recorders = new Map<MetricKey, Recorder>();
  readonly #observed = new Map<MetricKey, Observable>();

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  /** Adds to a counter; adding 0 makes the series visible before anything happened. */
  add<K extends RecordedCounter | CountedGauge>(key: K, value: number, labels: Labels<K>): void {
    this.#recorder(key)(value, labels as Attributes);
  }

  /** Sets a gauge. */
  set<K extends RecordedGauge>(key: K, value: number, labels: Labels<K>): void {
    this.#recorder(key)(value, labels as Attributes);
  }

  /** Records one value of a distribution. */
  record<K extends Histogram>(key: K, value: number, labels: Labels<K>): void {
    this.#recorder(key)(value, labels as Attributes);
  }

  /** Asks `read` at every scrape; the returned function stops that. `read` must be quick. */
  observe<K extends Observed>(key: K, read: () => Iterable<Observation<K>>): () => void {
    const instrument = this.#observed.get(key) ?? this.#createObserved(key);
    const callback = (result: ObservableResult): void => {
      for (const { value, labels } of read()) result.observe(value, labels as Attributes);
    };
    instrument.addCallback(callback);
    return () => instrument.removeCallback(callback);
  }

  #createObserved(key: MetricKey): Observable {
    const definition: MetricDefinition = METRICS[key];
    const options = optionsOf(definition);
    const instrument =
      definition.kind === 'counter'
        ? this.#meter.createObservableCounter(definition.name, options)
        : this.#meter.createObservableGauge(definition.name, options);
    this.#observed.set(key, instrument);
    return instrument;
  }

  #recorder(key: MetricKey): Recorder {
    let recorder = this.#recorders.get(key);
    if (recorder === undefined) {
      recorder = createRecorder(this.#meter, METRICS[key]);
      this.#recorders.set(key, recorder);
    }
    return recorder;
  }
}

function createRecorder(meter: Meter, definition: MetricDefinition): Recorder {
  const options = optionsOf(definition);
  if (definition.kind === 'histogram') {
    const histogram = meter.createHistogram(definition.name, options);
    return (value, labels) => histogram.record(value, labels);
  }
  if (definition.kind === 'gauge' && definition.source === 'recorded') {
    const gauge = meter.createGauge(definition.name, options);
    return (value, labels) => gauge.record(value, labels);
  }
  const sum =
    definition.kind === 'counter'
      ? meter.createCounter(definition.name, options)
      : meter.createUpDownCounter(definition.name, options);
  return (value, labels) => sum.add(value, labels);
}

function optionsOf({ description, unit, buckets }: MetricDefinition): {
  description: string;
  unit?: string;
  advice?: { explicitBucketBoundaries: number[] };
} {
  return {
    description,
    ...(unit === '1' ? {} : { unit }),
    ...(buckets === undefined ? {} : { advice: { explicitBucketBoundaries: [...buckets] } }),
  };
}
