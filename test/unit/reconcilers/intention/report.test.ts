import { describe, expect, test } from 'vitest';
import { CHANGING, markClaimed } from '../../../../src/core/intention-claims.ts';
import {
  intentionStatus,
  readyMessage,
  receiptFor,
  summarize,
} from '../../../../src/reconcilers/intention/report.ts';
import { DESTINATION, jwtName, sourceName } from './builders.ts';
import { endOf, factsOf, fingerprintOfWeb, planOf, type Situation, WEB, web } from './plan-builders.ts';

const STORED = { Name: 'web', Action: 'allow', Description: 'wish', Precedence: 9 };

function receiptOf(situation: Situation, deleting = false) {
  const plan = deleting ? endOf(situation) : planOf(situation);
  if (plan.kind !== 'change') throw new Error(plan.kind);
  return receiptFor(plan.change, { deleting });
}

describe('the status', () => {
  test('tells of sources that the resource owns and that stand, as Consul ranks them', () => {
    const facts = factsOf({
      record: {
        [sourceName('*')]: 'f',
        [sourceName('web', 'dc3')]: CHANGING,
        [WEB]: fingerprintOfWeb('wish'),
        [sourceName('gone')]: 'f',
        [sourceName('claimed')]: markClaimed('f'),
        [jwtName()]: 'f',
      },
      stored: [
        { Name: '*', Action: 'deny', Precedence: 8 },
        { Name: 'web', Peer: 'dc3', Action: 'deny', Precedence: 9 },
        STORED,
        { Name: 'claimed', Action: 'deny', Precedence: 9 },
        { Name: 'audit', Action: 'deny', Precedence: 9 },
      ],
      body: { JWT: { Providers: [{ Name: 'okta' }] } },
    });
    expect(intentionStatus(DESTINATION, facts)).toEqual({
      sources: 3,
      precedence: [
        { source: 'web', precedence: 9 },
        { source: 'web', peer: 'dc3', precedence: 9 },
        { source: '*', precedence: 8 },
      ],
    });
  });

  test('is empty without an entry', () => {
    expect(intentionStatus(DESTINATION, factsOf({}))).toEqual({ sources: 0, precedence: [] });
  });

  test('Ready counts sources', () => {
    expect(readyMessage(1)).toBe('1 source in Consul equals the spec');
    expect(readyMessage(3)).toBe('3 sources in Consul equal the spec');
  });
});

describe('what a step is told as', () => {
  const sources = [web('wish')];
  const fp = fingerprintOfWeb('wish');

  test.each<[what: string, situation: Situation, receipt: object]>([
    ['a claim: nothing', { sources }, { kind: 'tidied' }],
    [
      'the first entry',
      { sources, record: { [WEB]: markClaimed(fp) } },
      { event: 'Created', note: 'write web', corrected: 0 },
    ],
    [
      'a change',
      { sources, record: { [WEB]: CHANGING } },
      { event: 'Updated', note: 'write web', corrected: 0 },
    ],
    [
      'a repair',
      { sources, record: { [WEB]: fp } },
      { event: 'DriftCorrected', note: 'write web', corrected: 1 },
    ],
    ['taking over what is equal', { sources, stored: [STORED] }, { event: 'Adopted', note: 'take over web' }],
    [
      'taking over what is not',
      {
        sources,
        record: { [WEB]: markClaimed(fp) },
        stored: [{ ...STORED, Description: 'other' }],
        declarer: { adoptionPolicy: 'Always' },
      },
      { event: 'Adopted', note: 'write web' },
    ],
    [
      'the record alone',
      { sources, record: { [WEB]: CHANGING }, stored: [STORED] },
      { event: 'Updated', note: 'update the owner record', corrected: 0 },
    ],
  ])('%s', (_what, situation, receipt) => {
    expect(receiptOf(situation)).toMatchObject(receipt);
  });

  test('deleting', () => {
    const record = { [WEB]: fp };
    expect(receiptOf({ record, stored: [STORED] }, true)).toEqual({
      kind: 'applied',
      event: 'Deleted',
      note: 'removed web of destination orders',
      corrected: 0,
    });
    expect(receiptOf({ record }, true)).toMatchObject({
      event: 'Deleted',
      note: 'let go of what the resource owned',
    });
  });
});

test('a summary names ten', () => {
  const edits = Array.from({ length: 12 }, (_, at) => {
    return { name: sourceName(`s${at}`), cause: 'create', verb: 'put' } as const;
  });
  expect(summarize(edits)).toBe('write s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 2 more');
});
