import type { Pod, PodRef } from './pods.ts';

/** What a label on a Pod should become; undefined: it goes. By uid: another Pod of that name is not meant. */
export interface LabelStep {
  readonly pod: PodRef;
  readonly label: string;
  readonly value: typeof LEADS | undefined;
}

/** The value of the label on a Pod that leads. */
export const LEADS = 'true';

export interface LabelWish {
  readonly label: string;
  /** What the label was called before the spec named another, if it did. */
  readonly formerLabel: string | undefined;
  /** Who leads; nobody while the lease is being deleted. */
  readonly holders: readonly PodRef[];
  /** The Pods that match the selector, led or not. */
  readonly pods: readonly Pod[];
  /** Who led before: it may match no more, and still carry the label. */
  readonly former: readonly PodRef[];
  /** Whether another lease with the same label has it on this Pod. */
  readonly isLedElsewhere: (pod: PodRef, label: string) => boolean;
}

/**
 * What is to be done so that the leading Pods carry the label and no other Pod does, as far as this lease is concerned.
 * A label with another value than `true` on a Pod that does not lead was put there by somebody else, and stays.
 */
export function planLabels(wish: LabelWish): LabelStep[] {
  const { label, holders, pods } = wish;
  const leading = new Set(holders.map(({ uid }) => uid));
  const present = new Map(pods.map(pod => [pod.uid, pod]));
  const put = holders
    .filter(({ uid }) => present.has(uid) && present.get(uid)?.labels[label] !== LEADS)
    .map((pod): LabelStep => ({ pod: refOf(pod), label, value: LEADS }));
  const labels = [...new Set([label, wish.formerLabel ?? label])];
  const taken = labels.flatMap(one => {
    const mayStay = (pod: PodRef): boolean =>
      (one === label && leading.has(pod.uid)) || wish.isLedElsewhere(pod, one);
    const labelled = pods.filter(({ labels }) => labels[one] === LEADS);
    const outOfSight = wish.former.filter(({ uid }) => !present.has(uid));
    return [...labelled, ...outOfSight]
      .filter(pod => !mayStay(pod))
      .map((pod): LabelStep => ({ pod: refOf(pod), label: one, value: undefined }));
  });
  return [...taken, ...put];
}

function refOf({ name, uid }: PodRef): PodRef {
  return { name, uid };
}
