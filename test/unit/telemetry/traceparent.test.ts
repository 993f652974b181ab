import { describe, expect, test } from 'vitest';
import { linkFromAnnotations, parseTraceparent } from '../../../src/telemetry/traceparent.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const OTHER_TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

describe('parseTraceparent', () => {
  test.each([
    ['sampled', `00-${TRACE}-${SPAN}-01`, 1],
    ['not sampled', `00-${TRACE}-${SPAN}-00`, 0],
    ['with flags of the future', `00-${TRACE}-${SPAN}-ff`, 1],
    ['of a later version', `cc-${TRACE}-${SPAN}-01`, 1],
    ['of a later version that is longer', `cc-${TRACE}-${SPAN}-01-what-the-future-brings`, 1],
  ])('takes one that is %s', (_case, value, traceFlags) => {
    expect(parseTraceparent(value)).toEqual({ traceId: TRACE, spanId: SPAN, traceFlags, isRemote: true });
  });

  test.each([
    ['is empty', ''],
    ['is a word', 'traceparent'],
    ['has an upper-case id', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['has a trace id of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['has a span id of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['has a short trace id', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['has a long span id', `00-${TRACE}-${SPAN}0-01`],
    ['lacks its flags', `00-${TRACE}-${SPAN}`],
    ['has the forbidden version', `ff-${TRACE}-${SPAN}-01`],
    ['is of version 00 and goes on', `00-${TRACE}-${SPAN}-01-more`],
    ['has a space before it', ` 00-${TRACE}-${SPAN}-01`],
    ['has a newline after it', `00-${TRACE}-${SPAN}-01\n`],
    ['has underscores', `00_${TRACE}_${SPAN}_01`],
    ['is of a later version without a dash', `cc-${TRACE}-${SPAN}-01more`],
    ['never ends', `cc-${TRACE}-${SPAN}-01-${'x'.repeat(300)}`],
  ])('ignores one that %s', (_case, value) => {
    expect(parseTraceparent(value)).toBeUndefined();
  });
});

describe('linkFromAnnotations', () => {
  const ours = `00-${TRACE}-${SPAN}-01`;
  const plain = `00-${OTHER_TRACE}-${SPAN}-01`;

  test.each([
    ['the annotation of KEP-5915', { 'tracing.k8s.io/traceparent': ours }, TRACE],
    ['the plain one', { traceparent: plain }, OTHER_TRACE],
    ['the first of both', { traceparent: plain, 'tracing.k8s.io/traceparent': ours }, TRACE],
    [
      'the plain one when the other is malformed',
      { 'tracing.k8s.io/traceparent': 'x', traceparent: plain },
      OTHER_TRACE,
    ],
  ])('reads %s', (_case, annotations, traceId) => {
    expect(linkFromAnnotations(annotations)?.context.traceId).toBe(traceId);
  });

  test.each([
    ['there are no annotations', undefined],
    ['none is a traceparent', { 'example.com/traceparent': ours }],
    ['all are malformed', { traceparent: 'x', 'tracing.k8s.io/traceparent': '' }],
  ])('gives none when %s', (_case, annotations) => {
    expect(linkFromAnnotations(annotations)).toBeUndefined();
  });
});
