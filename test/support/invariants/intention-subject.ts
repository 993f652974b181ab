import { ConsulIntentions, type ShownEntry } from '../consulintention.ts';
import { eventually } from '../eventually.ts';
import type { World } from '../world.ts';
import type { Subject } from './subject.ts';

/** A place is a source of a destination, and its text is the description: all of a folder share one entry. */
export function intentionSubject(world: World, home = world): Subject {
  const theirs = new ConsulIntentions(home);
  const entries = () => theirs.entries();
  const texts = async (): Promise<(readonly [string, string])[]> =>
    (await entries()).flatMap(({ Name, Sources }) =>
      Sources.map(source => [`${theirs.nameOf(Name)}/${source.Name}`, source.Description ?? ''] as const),
    );
  return {
    resources: new ConsulIntentions(world),
    spec: (place, text) => {
      const { folder, name } = parsed(place);
      const sources = [{ name, action: 'allow', description: text }];
      return { destination: theirs.service(folder), sources };
    },
    standing: async () => Object.fromEntries(await texts()),
    at: async place => {
      const { folder, name } = parsed(place);
      const source = (await theirs.entry(folder))?.Sources.find(({ Name }) => Name === name);
      return source && JSON.stringify(source);
    },
    snapshot: async () => (await entries()).map(withoutIndexes),
    exact: entries,
    putByHand: async (place, text) => {
      const { folder, name } = parsed(place);
      const source = { Name: name, Action: 'deny', Description: text };
      await eventually(() => theirs.placeByHand(folder, name, source), { what: `${place} put by hand` });
    },
    claim: place => {
      const { folder, name } = parsed(place);
      return `/intention/${theirs.service(folder)}/source//${name}`;
    },
    rights: () => [
      `service_prefix "${theirs.service('')}" { policy = "read" intentions = "write" }`,
      'mesh = "read"',
    ],
    rightOf: (folder, policy) =>
      `service "${theirs.service(folder)}" { policy = "${policy}" intentions = "${policy}" }`,
    missingRight: /intention:write|service:write/,
    clear: () => theirs.clear(),
  };
}

function parsed(place: string): { readonly folder: string; readonly name: string } {
  const [folder = '', name = ''] = place.split('/');
  return { folder, name };
}

/** The mark of an install is there or not; the epoch in it is that of the run. */
function withoutIndexes({ Name, Sources, Meta, ...others }: ShownEntry): unknown {
  const { JWT } = others;
  return { Name, Sources, JWT, marks: Object.keys(Meta ?? {}) };
}
