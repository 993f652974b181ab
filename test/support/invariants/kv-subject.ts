import { ConsulKvs } from '../consulkv.ts';
import type { World } from '../world.ts';
import type { Subject } from './subject.ts';

/** A place is a key. */
export function kvSubject(world: World, home = world): Subject {
  const { consul } = world;
  const entries = async () => [...(await consul.kvList(home.key())).values()];
  return {
    resources: new ConsulKvs(world),
    spec: (place, text) => ({ key: home.key(place), value: text, flags: 7 }),
    standing: () => home.stored(),
    at: async place => {
      const entry = await consul.kvGet(home.key(place));
      return entry && [entry.modifyIndex, entry.flags, entry.value.toString('hex')].join(' ');
    },
    snapshot: async () => (await entries()).map(({ key, text, flags }) => [key, text, flags]),
    exact: entries,
    putByHand: async (place, text) => {
      await consul.kvPut(home.key(place), text);
    },
    claim: place => home.key(place),
    rights: () => [`key_prefix "${home.key()}" { policy = "write" }`],
    rightOf: (folder, policy) => `key_prefix "${home.key(folder)}/" { policy = "${policy}" }`,
    missingRight: /key:write/,
    clear: () => consul.kvDelete(home.key(), { recurse: true }),
  };
}
