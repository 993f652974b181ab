import { beforeEach, describe, expect, test } from 'vitest';
import { IntentionEntries } from '../../../src/commit/intention-entries.ts';
import { MAX_ENTRY_BYTES } from '../../../src/consul/types.ts';
import type { Tenure } from '../../../src/commit/tenure.ts';
import type { ConfigEntry, ConfigEntryBody } from '../../../src/consul/config-entry.ts';
import { type CallOptions, type ModifyIndex, NOT_THERE } from '../../../src/consul/types.ts';
import { aTenure } from './tenures.ts';

const OWNER = { kind: 'ConsulIntention', namespace: 'shop', name: 'orders' };
const KEY = 'proconsul-install-a';
const aBody = (epoch?: string, more: object = {}): ConfigEntryBody => ({
  Kind: 'service-intentions',
  Name: 'orders',
  Sources: [{ Name: 'web', Action: 'allow' }],
  ...(epoch !== undefined && { Meta: { [KEY]: epoch, other: 'x' } }),
  ...more,
});
const anEntry = (body = aBody(), index = 7): ConfigEntry => ({
  kind: 'service-intentions',
  name: 'orders',
  createIndex: 1,
  modifyIndex: index as ModifyIndex,
  body,
});

let sent: [what: string, index: number, options: CallOptions][];
let tenure: ReturnType<typeof aTenure> | undefined;

beforeEach(() => {
  sent = [];
  tenure = aTenure(5);
});

function entries({ dryRun = false, current }: { dryRun?: boolean; current?: () => Tenure | undefined } = {}) {
  const note = (what: string, index: number, options: CallOptions) => {
    sent.push([what, index, options]);
    return Promise.resolve({ applied: true });
  };
  return new IntentionEntries({
    consul: {
      configEntries: {
        put: (_body, index, options) => note('put', index, options),
        delete: ({ kind, name }, index, options) => note(`delete ${kind}/${name}`, index, options),
      },
    },
    installId: 'install-a',
    dryRun,
    tenure: current ?? (() => tenure),
  });
}

describe('a write of an entry', () => {
  test('carries what it believed, for no longer than 5 s, and looks at the lead at the last moment', async () => {
    const it = entries();
    await it.put(OWNER, { before: undefined, body: aBody('5') });
    await it.put(OWNER, { before: anEntry(), body: aBody('5') });
    await it.remove(OWNER, anEntry());
    expect(sent.map(([what, index]) => [what, index])).toEqual([
      ['put', NOT_THERE],
      ['put', 7],
      ['delete service-intentions/orders', 7],
    ]);
    tenure?.revoke('over');
    for (const [, , options] of sent) {
      expect(options).toMatchObject({ deadlineMs: 4000, signal: { aborted: true } });
      expect(options.beforeSend).toThrow('the tenure is over');
    }
  });

  test.each<[string, ConfigEntryBody, ConfigEntry | undefined]>([
    ['of another kind', aBody('5', { Kind: 'service-defaults' }), undefined],
    ['without a name', aBody('5', { Name: '' }), undefined],
    ['without sources', aBody('5', { Sources: [] }), undefined],
    ['with sources that are none', aBody('5', { Sources: null }), undefined],
    ['in the place of another', aBody('5', { Name: 'pay' }), anEntry()],
    ['in the place of another kind', aBody('5'), { ...anEntry(), kind: 'service-defaults' }],
    ['under a later epoch', aBody('6'), undefined],
    ['under an epoch that is none', aBody('x'), undefined],
    ['under an empty epoch', aBody(''), undefined],
  ])('%s is a defect, and is not sent', async (_, body, before) => {
    await expect(entries().put(OWNER, { before, body })).rejects.toThrow(TypeError);
    expect(sent).toEqual([]);
  });

  test('is of the same destination in upper and lower case', async () => {
    await entries().put(OWNER, { before: anEntry(), body: aBody('5', { Name: 'Orders' }) });
    expect(sent).toHaveLength(1);
  });

  test('made in an earlier tenure is not sent', async () => {
    await expect(entries().put(OWNER, { before: undefined, body: aBody('4') })).rejects.toMatchObject({
      name: 'AbortedError',
    });
    expect(sent).toEqual([]);
  });

  test('without an epoch leaves nothing of ours behind, and is sent', async () => {
    await entries().put(OWNER, { before: anEntry(), body: aBody() });
    expect(sent).toHaveLength(1);
  });

  test.each([{ kind: 'service-defaults' }, { modifyIndex: NOT_THERE }])(
    'that deletes %j is a defect',
    async wrong => {
      await expect(entries().remove(OWNER, { ...anEntry(), ...wrong })).rejects.toThrow(TypeError);
      expect(sent).toEqual([]);
    },
  );

  test.each<[string, () => void]>([
    ['without a tenure', () => void (tenure = undefined)],
    ['whose tenure is over', () => tenure?.revoke('over')],
  ])('%s is not sent', async (_, end) => {
    end();
    const aborted = { name: 'AbortedError' };
    await expect(entries().put(OWNER, { before: undefined, body: aBody('5') })).rejects.toMatchObject(
      aborted,
    );
    await expect(entries().remove(OWNER, anEntry())).rejects.toMatchObject(aborted);
    expect(() => entries().epoch).toThrow(expect.objectContaining(aborted));
    expect(sent).toEqual([]);
  });

  test('in a dry run is told and not sent', async () => {
    const it = entries({ dryRun: true });
    const dry = (what: string) => ({
      code: 'DRY_RUN',
      message: `dry run: would ${what} service-intentions/orders for ConsulIntention shop/orders`,
    });
    await expect(it.put(OWNER, { before: undefined, body: aBody('0') })).rejects.toMatchObject(dry('write'));
    await expect(it.remove(OWNER, anEntry())).rejects.toMatchObject(dry('delete'));
    expect([it.epoch, sent]).toEqual([0, []]);
  });
});

describe('the size of an entry', () => {
  const overhead = JSON.stringify(aBody('5', { Zork: '' })).length;
  const ofBytes = (bytes: number) => aBody('5', { Zork: 'x'.repeat(bytes - overhead) });

  test('is bounded, in bytes', async () => {
    await entries().put(OWNER, { before: undefined, body: ofBytes(MAX_ENTRY_BYTES) });
    const over = entries().put(OWNER, { before: anEntry(), body: ofBytes(MAX_ENTRY_BYTES + 1) });
    await expect(over).rejects.toMatchObject({ code: 'ENTRY_TOO_LARGE', reason: 'TooLarge' });
    const wide = aBody('5', { Zork: 'é'.repeat((MAX_ENTRY_BYTES / 4) * 3) });
    await expect(entries().put(OWNER, { before: undefined, body: wide })).rejects.toMatchObject({
      code: 'ENTRY_TOO_LARGE',
    });
    expect(sent).toHaveLength(1);
  });

  test('may be over the bound as long as it shrinks', async () => {
    const before = anEntry(ofBytes(MAX_ENTRY_BYTES + 100));
    await entries().put(OWNER, { before, body: ofBytes(MAX_ENTRY_BYTES + 99) });
    expect(sent).toHaveLength(1);
    const asLarge = entries().put(OWNER, { before, body: ofBytes(MAX_ENTRY_BYTES + 100) });
    await expect(asLarge).rejects.toMatchObject({ code: 'ENTRY_TOO_LARGE' });
  });
});

describe('an epoch under our own key', () => {
  test.each([0, 4, 5, Number.NaN])('of %s changes nothing', epoch => {
    entries().outranked(epoch);
    expect(tenure?.revoked).toEqual([]);
  });

  test('larger than ours ends the tenure', () => {
    expect(() => entries().outranked(6)).toThrow(expect.objectContaining({ name: 'AbortedError' }));
    expect(tenure?.revoked).toHaveLength(1);
  });

  test("that outranks the tenure after it too was no leader's, and ends no second one", () => {
    const it = entries();
    expect(() => it.outranked(600)).toThrow('a later leader');
    tenure = aTenure(6);
    it.outranked(600);
    it.outranked(599);
    expect(tenure.revoked).toEqual([]);
    expect(() => it.outranked(601)).toThrow('a later leader');
    expect(tenure.revoked).toHaveLength(1);
  });

  test('means nothing in a dry run', () => {
    entries({ dryRun: true }).outranked(6);
    expect(tenure?.revoked).toEqual([]);
  });
});
