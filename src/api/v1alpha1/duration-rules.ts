/** The rules on durations, in CEL and once more in code. */
import { parseDurationMs } from '../../core/duration.ts';
import type { CelRule } from './common.ts';
import { unless } from './key-cel.ts';

/** What `core/duration.ts` reads. */
const DURATION = '^([0-9]{1,9}([.][0-9]{1,9})?(h|ms|m|s))+$';
const DURATION_FORM = 'must be a duration such as 15s, 1m30s or 1.5h, with the units h, m, s and ms';

/** The field, where it is given, is a duration. */
export function durationForm(field: string): CelRule {
  return {
    rule: unless(field, `self.${field}.matches('${DURATION}')`),
    message: `${field} ${DURATION_FORM}`,
    fieldPath: `.${field}`,
  };
}

/** In Go's `duration()` a text of another form is an error, not false: so `bounds` are asked of the others alone. */
export const isWithin = (field: string, bounds: string) =>
  unless(field, `!self.${field}.matches('${DURATION}') || (${bounds})`);

/** Both ends included, as written: `1s`. */
export interface DurationBounds {
  readonly least: string;
  readonly most: string;
}

/** The field, where it is given, is a duration within the bounds. */
export function durationRules(field: string, { least, most }: DurationBounds): readonly CelRule[] {
  const value = `duration(self.${field})`;
  return [
    durationForm(field),
    {
      rule: isWithin(field, `${value} >= duration('${least}') && ${value} <= duration('${most}')`),
      message: `${field} must be from ${least} to ${most}`,
      fieldPath: `.${field}`,
    },
  ];
}

/** What is wrong with a duration, in a sentence that starts with `path`. Nothing is wrong with none. */
export function durationProblem(
  path: string,
  text: string | undefined,
  { least, most }: DurationBounds,
): string | undefined {
  if (text === undefined) return undefined;
  const ms = parseDurationMs(text);
  if (ms === undefined) return `${path} is not a duration such as 15s or 1m30s`;
  const fits = ms >= durationMs(least) && ms <= durationMs(most);
  return fits ? undefined : `${path} is not from ${least} to ${most}`;
}

/** @throws TypeError for what is no duration: of a spec that was read, none is. */
export function durationMs(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === undefined) throw new TypeError('not a duration');
  return ms;
}
