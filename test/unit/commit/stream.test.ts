import { describe, expect, test } from 'vitest';
import { Stream } from '../../../src/commit/stream.ts';

const small = { isSmall: true };
const large = { isSmall: false };

/** A unit every `gapMs`, each sent at once by itself; returns how many went before one would have waited. */
function freeOf(stream: Stream, { fromMs = 0, gapMs = 10, upTo = 5000 } = {}): number {
  for (let n = 0; n < upTo; n++) {
    stream.arrived(fromMs + n * gapMs);
    if (stream.isFlowing) return n;
    stream.sent(small);
  }
  return upTo;
}

function flowing(): Stream {
  const stream = new Stream();
  freeOf(stream);
  return stream;
}

describe('a stream', () => {
  test('is not taken for one before 16 small transactions in a row', () => {
    expect(freeOf(new Stream())).toBe(16);
  });

  test('is none when each unit comes more than a second after the last', () => {
    expect(freeOf(new Stream(), { gapMs: 1001, upTo: 100 })).toBe(100);
    expect(freeOf(new Stream(), { gapMs: 1000 })).toBe(16);
  });

  test('is over with the first small transaction, when waiting brought none before', () => {
    const stream = flowing();
    stream.sent(small);
    expect(freeOf(stream)).toBe(256);
    stream.sent(small);
    expect(freeOf(stream)).toBe(4096);
    stream.sent(small);
    expect(freeOf(stream)).toBe(4096);
  });

  test('goes on while waiting fills transactions, and survives one that it did not', () => {
    const stream = flowing();
    stream.sent(large);
    stream.sent(small);
    expect(stream.isFlowing).toBe(true);
    stream.sent(large);
    stream.sent(small);
    expect(stream.isFlowing).toBe(true);
    stream.sent(small);
    expect(freeOf(stream)).toBe(16);
  });

  test('is forgotten after a second', () => {
    const stream = flowing();
    stream.sent(large);
    expect(freeOf(stream, { fromMs: 5000 })).toBe(16);
    stream.sent(small);
    expect(freeOf(stream, { fromMs: 10_000 })).toBe(16);
  });
});
