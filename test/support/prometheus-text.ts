import { isDeepStrictEqual } from 'node:util';

/** One metric family of a scrape. */
export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  /** With the suffix of a histogram's parts: `_bucket`, `_sum`, `_count`. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const SAMPLE = /^(?<name>[a-zA-Z_:][\w:]*)(?:\{(?<labels>.*)\})? (?<value>\S+)$/;
const LABEL = /(?<label>[a-zA-Z_]\w*)="(?<text>(?:[^"\\]|\\.)*)"/g;

/** Reads Prometheus' text format; throws on a line it does not know or a sample without its family. */
export function parsePrometheusText(text: string): Map<string, Family> {
  const families = new Map<string, { type: string; help: string; samples: Sample[] }>();
  let current = '';
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# UNIT ')) continue;
    const comment = /^# (?<keyword>HELP|TYPE) (?<name>\S+) (?<rest>.*)$/.exec(line)?.groups;
    if (comment === undefined) {
      const sample = parseSample(line);
      if (!sample.name.startsWith(current)) throw new Error(`${sample.name} follows the head of ${current}`);
      families.get(current)?.samples.push(sample);
    } else if (comment.keyword === 'HELP') {
      current = comment.name as string;
      families.set(current, { type: '', help: comment.rest as string, samples: [] });
    } else {
      (families.get(current) as { type: string }).type = comment.rest as string;
    }
  }
  return families;
}

/** The value of one series; undefined when it is not there. */
export function sampleValue(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const samples = [...parsePrometheusText(text).values()].flatMap(family => family.samples);
  return samples.find(sample => sample.name === name && isDeepStrictEqual(sample.labels, labels))?.value;
}

function parseSample(line: string): Sample {
  const { name, labels = '', value } = SAMPLE.exec(line)?.groups ?? {};
  if (name === undefined) throw new Error(`not a sample: ${line}`);
  const pairs = [...labels.matchAll(LABEL)].map(({ groups }) => [groups?.label, groups?.text]);
  return { name, labels: Object.fromEntries(pairs), value: value === '+Inf' ? Infinity : Number(value) };
}
