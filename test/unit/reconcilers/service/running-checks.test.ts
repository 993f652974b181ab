import { describe, expect, test } from 'vitest';
import { markClaimed, markOut } from '../../../../src/core/instance-names.ts';
import { checksToRun } from '../../../../src/reconcilers/service/running-checks.ts';
import {
  anInstance,
  aSidecar,
  CRITICAL,
  DECLARER,
  factsOf,
  NODE,
  PASSING,
  type Situation,
  standing,
  withService,
} from './plan-builders.ts';

const ONE = anInstance({ id: 'web-1', probe: true, ready: true });
const PLACE = '/check/vm/service:web-1:http';

/** The checks that are run, each with what is stored of it. */
function run(situation: Situation) {
  const { wish = [ONE] } = situation;
  const instances = new Map(wish.map(wished => [wished.name, wished]));
  const checks = checksToRun({ instances, missing: undefined }, factsOf(situation), DECLARER);
  return checks.map(({ place, stored }) => [place, stored]);
}

const settled = { [ONE.name]: ONE.fingerprint };

describe('the checks that are run', () => {
  test('are those of an instance of ours that stands, and go on from what is stored', () => {
    const stands = (http = PASSING) => ({ record: settled, stands: { [ONE.name]: standing(ONE, { http }) } });
    expect(run(stands())).toEqual([[PLACE, PASSING]]);
    expect(run(stands(CRITICAL))).toEqual([[PLACE, CRITICAL]]);
  });

  test('begin anew where none has run yet, or somebody has written what is no result', () => {
    const never = { status: 'critical', output: 'not run yet' } as const;
    const nonsense = { status: 'fine', output: '' } as never;
    for (const http of [never, nonsense]) {
      expect(run({ record: settled, stands: { [ONE.name]: standing(ONE, { http }) } })).toEqual([
        [PLACE, undefined],
      ]);
    }
  });

  test('are those of an instance that is out, which is critical until it is asked', () => {
    const record = { [ONE.name]: markOut(ONE.fingerprint) };
    expect(run({ record })).toEqual([[PLACE, { status: 'critical', output: '' }]]);
  });

  test('are none of what is not there yet, or is somebody else’s', () => {
    const claimed = { [ONE.name]: markClaimed(ONE.fingerprint) };
    const theirs = withService(standing(ONE), { meta: new Map() });
    expect(run({ record: settled })).toEqual([]);
    expect(run({ stands: { [ONE.name]: standing(ONE) } })).toEqual([]);
    expect(run({ record: claimed, stands: { [ONE.name]: theirs } })).toEqual([]);
    expect(run({ record: claimed, stands: { [ONE.name]: standing(ONE) } })).toHaveLength(1);
  });

  test('are none where consul-esm runs them, and none of a sidecar', () => {
    const sidecar = aSidecar({ id: 'web-1' });
    const nodes = { [NODE]: { isOfEsm: true } };
    expect(run({ record: settled, stands: { [ONE.name]: standing(ONE) }, nodes })).toEqual([]);
    const record = { [sidecar.name]: sidecar.fingerprint };
    expect(run({ wish: [sidecar], record, stands: { [sidecar.name]: standing(sidecar) } })).toEqual([]);
  });
});
