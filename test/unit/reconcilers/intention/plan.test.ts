import { describe, expect, test } from 'vitest';
import { CHANGING, markClaimed } from '../../../../src/core/intention-claims.ts';
import { epochKey } from '../../../../src/reconcilers/intention/entry.ts';
import { MAX_ENTRY_BYTES } from '../../../../src/consul/types.ts';
import { jwtName, seenEntry, sourceName } from './builders.ts';
import {
  endOf,
  fingerprintOfWeb,
  INDEX,
  planOf,
  SETTLED,
  type Situation,
  told,
  WEB,
  web,
} from './plan-builders.ts';
import { refOf } from './world.ts';

const DRIFT = ['Correct', 'Report', 'Ignore'] as const;
const ADOPTION = ['Never', 'IfEqual', 'Always'] as const;

const same = (plan: string): Record<(typeof DRIFT)[number], string> => ({
  Correct: plan,
  Report: plan,
  Ignore: plan,
});
const stored = (description: string) => ({
  Name: 'web',
  Action: 'allow',
  Description: description,
  Precedence: 9,
});
const settled = fingerprintOfWeb;
const claimed = (description: string): string => markClaimed(fingerprintOfWeb(description));

describe('wish, record and Consul, source by source', () => {
  test.each<
    [record: string | undefined, consul: string | undefined, plans: Record<(typeof DRIFT)[number], string>]
  >([
    [undefined, undefined, same('claim create web ~')],
    ['', undefined, same('claim create web ~')],
    [claimed('wish'), undefined, same('entry create put web')],
    [claimed('wish'), 'wish', same('settle record web =')],
    [claimed('old'), undefined, same('claim create web ~')],
    [claimed('old'), 'old', same('claim update web !')],
    [CHANGING, undefined, same('entry update put web')],
    [CHANGING, 'old', same('entry update put web')],
    [CHANGING, 'wish', same('settle record web =')],
    [settled('wish'), 'wish', same('nothing')],
    [
      settled('wish'),
      'other',
      {
        Correct: 'entry correct put web (drifted: web)',
        Report: 'nothing (drifted: web)',
        Ignore: 'nothing',
      },
    ],
    [
      settled('wish'),
      undefined,
      {
        Correct: 'entry correct put web (drifted: web)',
        Report: 'nothing (drifted: web)',
        Ignore: 'nothing',
      },
    ],
    [settled('old'), 'wish', same('settle record web =')],
    [settled('old'), 'old', same('claim update web !')],
    [settled('old'), 'other', same('claim update web !')],
    [settled('old'), undefined, same('claim update web !')],
  ])('record %j, Consul %j', (record, consul, plans) => {
    for (const driftPolicy of DRIFT) {
      const plan = planOf({
        sources: [web('wish')],
        record: record === undefined ? undefined : { [WEB]: record },
        stored: consul === undefined ? undefined : [stored(consul)],
        declarer: { driftPolicy },
      });
      expect([driftPolicy, told(plan)]).toEqual([driftPolicy, plans[driftPolicy]]);
    }
  });

  test.each<[record: string | undefined, consul: string, plans: Record<(typeof ADOPTION)[number], string>]>([
    [
      undefined,
      'wish',
      { Never: 'AlreadyExists', IfEqual: 'settle adopt web =', Always: 'settle adopt web =' },
    ],
    [undefined, 'other', { Never: 'AlreadyExists', IfEqual: 'AlreadyExists', Always: 'claim adopt web ~' }],
    ['', 'wish', { Never: 'AlreadyExists', IfEqual: 'settle adopt web =', Always: 'settle adopt web =' }],
    [
      claimed('wish'),
      'other',
      { Never: 'AlreadyExists', IfEqual: 'AlreadyExists', Always: 'entry adopt put web' },
    ],
    [
      claimed('wish'),
      'wish',
      { Never: 'settle record web =', IfEqual: 'settle record web =', Always: 'settle record web =' },
    ],
  ])('unowned: record %j, Consul %j', (record, consul, plans) => {
    for (const adoptionPolicy of ADOPTION) {
      const plan = planOf({
        sources: [web('wish')],
        record: record === undefined ? undefined : { [WEB]: record },
        stored: [stored(consul)],
        declarer: { adoptionPolicy },
      });
      expect([adoptionPolicy, told(plan).split(':')[0]]).toEqual([adoptionPolicy, plans[adoptionPolicy]]);
    }
  });

  const other = { name: 'api', action: 'deny' } as const;
  const OTHER = sourceName('api');
  const otherStored = { Name: 'api', Action: 'deny' };
  const otherSettled = '{"Name":"api","Action":"deny"}';

  test.each<[record: string, consul: string | undefined, plan: string]>([
    [settled('old'), 'old', 'claim remove web !'],
    [settled('old'), 'other', 'claim remove web !'],
    [settled('old'), undefined, 'settle remove web -'],
    [CHANGING, 'old', 'entry remove remove web'],
    [CHANGING, undefined, 'settle remove web -'],
    [claimed('old'), 'old', 'claim remove web !'],
    [claimed('old'), 'other', 'settle remove web -'],
    [claimed('old'), undefined, 'settle remove web -'],
  ])('not wished any more: record %j, Consul %j', (record, consul, plan) => {
    const situation = {
      sources: [other],
      record: { [OTHER]: otherSettled, [WEB]: record },
      stored: [otherStored, ...(consul === undefined ? [] : [stored(consul)])],
    };
    expect(told(planOf(situation))).toBe(plan);
  });
});

describe('steps', () => {
  test('a claim announces all that comes or changes, at once, and lets go of what is not there', () => {
    const plan = planOf({
      sources: [web('new'), { name: 'b', action: 'deny' }],
      jwt: { providers: [{ name: 'okta' }] },
      record: { [WEB]: settled('old'), [sourceName('c')]: 'f', [sourceName('gone')]: 'f' },
      stored: [stored('old'), { Name: 'c', Action: 'allow' }],
    });
    expect(told(plan)).toBe('claim update web ! create b ~ create jwt ~ remove c ! remove gone -');
    expect(plan).toMatchObject({
      equal: false,
      summary: 'write web, b, jwt; remove c',
      change: {
        adopts: true,
        head: { uid: 'u-1', generation: 2, epoch: 1, onDelete: 'Delete', phase: 'claiming' },
      },
    });
  });

  test('a repair is not announced, also when the record has something to let go of afterwards', () => {
    const plan = planOf({
      sources: [web('wish')],
      record: { [WEB]: settled('wish'), [sourceName('gone')]: 'f' },
    });
    expect(told(plan)).toBe('entry correct put web (drifted: web)');
  });

  test('a change of what is owned alone races with nobody', () => {
    const plan = planOf({
      sources: [web('new')],
      record: { [WEB]: settled('old') },
      stored: [stored('old')],
    });
    expect(plan).toMatchObject({ change: { step: 'claim', adopts: false } });
  });

  test('an adoption moves the claims key', () => {
    const plan = planOf({ sources: [web('wish')], stored: [stored('wish')] });
    expect(plan).toMatchObject({
      equal: true,
      change: { step: 'settle', adopts: true, head: { phase: 'settled' } },
    });
  });

  test('the entry is written on what was read, once for everything', () => {
    const foreign = { Name: 'audit', Action: 'deny', Someday: 1 };
    const plan = planOf({
      sources: [web('new')],
      record: { [WEB]: CHANGING, [sourceName('c')]: CHANGING },
      stored: [stored('old'), { Name: 'c', Action: 'allow' }, foreign],
    });
    expect(plan).toMatchObject({
      change: {
        step: 'entry',
        isFirst: false,
        index: INDEX,
        destination: 'orders',
        body: {
          Kind: 'service-intentions',
          Name: 'orders',
          Sources: [{ Name: 'web', Action: 'allow', Description: 'new' }, foreign],
          Meta: { [epochKey('install-a')]: '1' },
        },
      },
    });
  });

  test('a first entry is created', () => {
    const plan = planOf({ sources: [web('wish')], record: { [WEB]: claimed('wish') } });
    expect(plan).toMatchObject({ change: { step: 'entry', isFirst: true, index: 0 } });
  });

  test('a record that is not settled is settled, and another resource inherits it', () => {
    const situation: Situation = {
      sources: [web('wish')],
      record: { [WEB]: settled('wish') },
      stored: [stored('wish')],
    };
    expect(told(planOf({ ...situation, head: { phase: 'claiming' } }))).toBe('settle');
    expect(told(planOf({ ...situation, head: { uid: 'u-0' } }))).toBe('settle');
    expect(told(planOf({ ...situation, declarer: { onDelete: 'Retain' } }))).toBe('settle');
    expect(told(planOf({ ...situation, declarer: { epoch: 9, generation: 9 } }))).toBe('nothing');
  });

  test('to another resource of the same name a difference is its own wish, whatever its driftPolicy', () => {
    const plan = planOf({
      sources: [web('wish')],
      record: { [WEB]: settled('wish') },
      head: { uid: 'u-0' },
      declarer: { driftPolicy: 'Report' },
    });
    expect(told(plan)).toBe('claim update web !');
  });

  test('what another resource of the same name left behind under Retain stays', () => {
    const plan = planOf({
      sources: [{ name: 'api', action: 'deny' }],
      record: { [WEB]: settled('old') },
      head: { uid: 'u-0', onDelete: 'Retain' },
      stored: [stored('old')],
    });
    // Out of the record before the head says that it is of this one.
    expect(told(plan)).toBe('claim create api ~ remove web -');
  });

  test('what an earlier resource of the same name had at another destination is removed there', () => {
    const elsewhere = sourceName('web', '', 'payments');
    const body = { Sources: [{ Name: 'web', Action: 'deny' }] };
    const there = {
      orders: seenEntry('orders', { Sources: [stored('wish')] }, 1),
      payments: seenEntry('payments', body, 2),
    };
    const plan = (recorded: string) =>
      planOf({
        sources: [web('wish')],
        record: { [WEB]: settled('wish'), [elsewhere]: recorded },
        facts: { entry: destination => there[destination as keyof typeof there] },
      });
    expect(told(plan('f'))).toBe('claim remove web !');
    expect(plan(CHANGING)).toMatchObject({
      change: { step: 'entry', destination: 'payments', body: undefined, index: 2 },
    });
  });

  test('a JWT requirement needs a source: one that was taken away comes back with it', () => {
    const plan = planOf({
      sources: [web('wish')],
      jwt: { providers: [{ name: 'okta' }] },
      record: { [WEB]: settled('wish'), [jwtName()]: CHANGING },
      declarer: { driftPolicy: 'Report' },
    });
    expect(told(plan)).toBe('entry correct put web update put jwt (drifted: web)');
  });

  test.each([
    ['IfEqual', 'auth0', 'AlreadyExists'],
    ['Always', 'auth0', 'claim adopt jwt ~'],
    ['IfEqual', 'okta', 'settle adopt jwt ='],
  ] as const)('a JWT requirement is adopted like a source: %s, %s', (adoptionPolicy, present, expected) => {
    const plan = planOf({
      sources: [web('wish')],
      jwt: { providers: [{ name: 'okta' }] },
      record: { [WEB]: settled('wish') },
      stored: [stored('wish')],
      body: { JWT: { Providers: [{ Name: present }] } },
      declarer: { adoptionPolicy },
    });
    expect(told(plan).split(':')[0]).toBe(expected);
  });
});

describe('our mark in the entry', () => {
  const mark = epochKey('install-a');
  const b = sourceName('b');
  const audit = { Name: 'audit', Action: 'deny' };
  const bStored = { Name: 'b', Action: 'deny' };
  const neighbour = (recorded: string) => {
    const shard = { index: 5 as never, names: new Map([[b, recorded]]) };
    return [{ ref: refOf('r2'), head: SETTLED, shards: new Map([[0, shard]]) }];
  };
  const removal = { record: { [WEB]: CHANGING }, body: { Meta: { [mark]: '1' } } };

  test.each<[what: string, situation: Situation, isMarked: boolean]>([
    ['goes with the last source', { stored: [stored('old'), audit] }, false],
    [
      'stays while the resource has another there',
      {
        sources: [{ name: 'b', action: 'deny' }],
        record: { [WEB]: CHANGING, [b]: 'x' },
        stored: [stored('old'), bStored],
      },
      true,
    ],
    [
      'stays while another resource has one there',
      { stored: [stored('old'), bStored], facts: { neighbours: () => neighbour('x') } },
      true,
    ],
    [
      'goes while another resource merely claims what somebody else wrote',
      { stored: [stored('old'), bStored], facts: { neighbours: () => neighbour(markClaimed('x')) } },
      false,
    ],
    [
      'goes while what another resource had is gone',
      { stored: [stored('old'), audit], facts: { neighbours: () => neighbour('x') } },
      false,
    ],
  ])('%s', (_what, situation, isMarked) => {
    const all = { ...removal, ...situation };
    const plan =
      situation.sources === undefined ? endOf(all) : planOf({ ...all, declarer: { driftPolicy: 'Ignore' } });
    if (plan.kind !== 'change' || plan.change.step !== 'entry') throw new Error(told(plan));
    expect(plan.change.body?.['Meta']).toEqual(isMarked ? { [mark]: '1' } : undefined);
  });
});

describe('towards nothing', () => {
  const record = { [WEB]: settled('old'), [sourceName('b')]: claimed('x') };
  const foreign = { Name: 'audit', Action: 'deny' };

  test.each<[situation: Situation, plan: string]>([
    [{}, 'nothing'],
    [{ record, stored: [stored('old'), foreign] }, 'entry remove remove web'],
    [{ record, stored: [stored('edited')] }, 'entry remove remove web'],
    [{ record, stored: [foreign] }, 'end remove web - remove b -'],
    [{ record }, 'end remove web - remove b -'],
  ])('%j', (situation, plan) => {
    expect(told(endOf(situation))).toBe(plan);
  });

  test('the last source takes the entry with it', () => {
    expect(endOf({ record, stored: [stored('old')] })).toMatchObject({
      change: { body: undefined, index: INDEX },
    });
    expect(endOf({ record, stored: [stored('old'), foreign] })).toMatchObject({
      change: { body: { Sources: [foreign] } },
    });
  });

  test('what somebody else claims stays, and so does all under Retain', () => {
    const situation = { record, stored: [stored('old')] };
    const rivals = { [WEB]: { kind: 'resource', ref: refOf('r2') } as const };
    expect(told(endOf({ ...situation, rivals }))).toBe('end remove web - remove b -');
    expect(told(endOf(situation, 'Retain'))).toBe('end remove web - remove b -');
  });
});

describe('nothing is written', () => {
  const rivals = { [WEB]: { kind: 'resource', ref: refOf('r2') } as const };

  test('when another owns one of the sources', () => {
    const sources = [{ name: 'api', action: 'deny' } as const, web('wish')];
    expect(told(planOf({ sources, rivals }))).toBe(
      'Conflict: web of destination orders belongs to ConsulIntention shop/r2',
    );
    const install = { [WEB]: { kind: 'install', install: 'install-b', ref: refOf('r2') } as const };
    expect(told(planOf({ sources, rivals: install }))).toBe(
      'Conflict: web of destination orders belongs to install install-b',
    );
  });

  test('when one of the sources is there without an owner', () => {
    const sources = [{ name: 'api', action: 'deny', peer: 'dc3' } as const, web('wish')];
    const there = [{ Name: 'api', Peer: 'dc3', Action: 'allow' }];
    expect(told(planOf({ sources, stored: there }))).toBe(
      'AlreadyExists: in Consul already for destination orders, without an owner, and adoptionPolicy IfEqual does not take them: api of peer dc3',
    );
    const many = Array.from({ length: 12 }, (_, at) => ({ name: `s${at}`, action: 'deny' as const }));
    const all = many.map(({ name }) => ({ Name: name, Action: 'allow' }));
    expect(told(planOf({ sources: many, stored: all }))).toMatch(
      /: s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 2 more$/,
    );
  });

  test('that would take over what somebody might own whose claims cannot be read', () => {
    const facts = { claims: { index: 0 as never, asOf: 1, complete: false } };
    expect(told(planOf({ sources: [web('wish')], stored: [stored('wish')], facts }))).toMatch(
      /^ConsulDenied: /,
    );
    expect(told(planOf({ sources: [web('wish')], facts }))).toBe('claim create web ~');
  });

  test('into an entry with metadata of the legacy API, which would be lost', () => {
    const legacy = { Name: 'old', Action: 'allow', LegacyMeta: { a: 'b' } };
    expect(told(planOf({ sources: [web('wish')], stored: [legacy] }))).toMatch(
      /^UnsupportedByConsul: .*: old$/,
    );
    expect(told(endOf({ record: { [WEB]: settled('old') }, stored: [stored('old'), legacy] }))).toMatch(
      /^UnsupportedByConsul/,
    );
    expect(
      told(
        endOf({
          record: { [WEB]: settled('old') },
          stored: [
            { ...stored('old'), LegacyMeta: { a: 'b' } },
            { Name: 'audit', Action: 'deny' },
          ],
        }),
      ),
    ).toMatch(/^entry/);
  });

  test('while what Consul missed is missing, unless the resource has changed since', () => {
    const missing = [
      'service-defaults/orders: protocol must be http, http2 or grpc',
      'jwt-provider/okta does not exist',
    ];
    const waiting = { sources: [web('wish')], record: { [WEB]: claimed('wish') } };
    expect(planOf({ ...waiting, facts: { refused: { generation: 2, missing } } })).toEqual({
      kind: 'wait',
      reason: 'DependencyNotReady',
      message: missing.join('; '),
      againMs: 60_000,
    });
    expect(told(planOf({ ...waiting, facts: { refused: { generation: 1, missing } } }))).toMatch(/^entry/);
    expect(
      told(planOf({ ...waiting, stored: [stored('wish')], facts: { refused: { generation: 2, missing } } })),
    ).toMatch(/^settle/);
    expect(
      told(
        endOf({
          record: { [WEB]: settled('a') },
          stored: [stored('a')],
          facts: { refused: { generation: 9, missing } },
        }),
      ),
    ).toMatch(/^DependencyNotReady/);
  });

  test('where a later tenure of this install has written', () => {
    const marked = (epoch: string): Situation => ({
      sources: [web('wish')],
      stored: [{ Name: 'audit', Action: 'deny' }],
      body: { Meta: { [epochKey('install-a')]: epoch, [epochKey('install-b')]: '9' } },
    });
    expect(told(planOf(marked('2')))).toMatch(/^Progressing: .* tenure 2 .* tenure 1$/);
    expect(told(planOf(marked('1')))).toMatch(/^claim/);
    expect(told(planOf(marked('0')))).toMatch(/^claim/);
  });
});

describe('an entry over the limit', () => {
  const filler = (bytes: number) => ({ Name: 'audit', Action: 'deny', Description: 'x'.repeat(bytes) });
  const bodyOf = (bytes: number): number => {
    const plan = planOf({
      sources: [web('wish')],
      record: { [WEB]: claimed('wish') },
      stored: [filler(bytes)],
    });
    if (plan.kind !== 'change' || plan.change.step !== 'entry') throw new Error(told(plan));
    return Buffer.byteLength(JSON.stringify(plan.change.body));
  };
  const room = MAX_ENTRY_BYTES - bodyOf(0);

  test('is refused before anything is claimed; one byte less is not', () => {
    expect(bodyOf(room)).toBe(MAX_ENTRY_BYTES);
    expect(told(planOf({ sources: [web('wish')], stored: [filler(room)] }))).toMatch(/^claim/);
    expect(told(planOf({ sources: [web('wish')], stored: [filler(room + 1)] }))).toMatch(
      /^TooLarge: .* destination orders .* 524288 bytes/,
    );
  });

  test('is refused to one that claimed before others filled it: its claim goes, and what it owns stays listed', () => {
    const there = {
      sources: [web('wish'), { name: 'b', action: 'allow' as const }],
      record: { [WEB]: claimed('wish'), [sourceName('b')]: settled('') },
      stored: [filler(room + 200)],
    };
    const plan = planOf(there);
    expect(plan).toMatchObject({
      kind: 'change',
      equal: false,
      change: { step: 'claim', adopts: false, edits: [{ name: WEB, to: undefined }] },
    });
    const { [WEB]: _gone, ...record } = there.record;
    expect(told(planOf({ ...there, record }))).toMatch(/^TooLarge/);
  });

  /** A status is written anew when its message is another: whoever edits the entry would make us write each time. */
  test('is told in the same words however far it is over', () => {
    const refused = (bytes: number) => told(planOf({ sources: [web('wish')], stored: [filler(bytes)] }));
    expect(refused(room + 500)).toBe(refused(room + 1));
  });

  test('may still shrink', () => {
    const there = {
      sources: [web('')],
      record: { [WEB]: settled('long') },
      stored: [stored('long'), filler(room + 99)],
    };
    expect(told(planOf(there))).toMatch(/^claim/);
    expect(told(endOf(there))).toMatch(/^entry/);
  });

  test('bytes count, not characters, and what is read as a bigint is counted too', () => {
    const wide = { Name: 'audit', Action: 'deny', Description: 'é'.repeat(room / 2 + 1), Someday: 2n ** 60n };
    expect(told(planOf({ sources: [web('wish')], stored: [wide] }))).toMatch(/^TooLarge/);
  });
});
