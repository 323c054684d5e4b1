import { SluiceError } from '../../core/errors.js';
import { RingQueue } from '../../core/ring-queue.js';

/** One source as its group sees it. @internal */
export interface MemoryMember {
  readonly topics: readonly string[];
  assign(topic: string, partition: number): void;
  /** `done` once the member has drained and let go. */
  revoke(topic: string, partition: number, done: () => void): void;
  /** Who owns what may have changed. */
  rebalanced(): void;
}

interface Share {
  readonly topic: string;
  readonly partition: number;
  owner: MemoryMember | null;
  revoking: boolean;
  /** The next offset to read, or `null` before the first commit. */
  committed: number | null;
  /** Offsets above it that are done: the next owner does not run them again. */
  readonly acked: Set<number>;
}

// A message that stays unsettled from owner to owner must not gather acks without end; what has no room comes again.
const MOST_ACKED = 250_000;

/**
 * A consumer group: shares the partitions of each topic evenly among the members that read it. Only what moves is
 * revoked, and it is assigned again once its owner has drained.
 * @internal
 */
export interface MemoryGroup {
  join(member: MemoryMember): void;
  /** The member takes nothing more and leaves once it has drained: what it owns is on its way to others. */
  leaving(member: MemoryMember): void;
  leave(member: MemoryMember): void;
  committed(topic: string, partition: number): number | null;
  /** What is done above the committed offset. */
  acked(topic: string, partition: number): ReadonlySet<number>;
  /**
   * Moves the committed offset, or leaves it (`null`), and remembers what is done above it. Refuses a member that does
   * not own the partition (I5).
   */
  commit(member: MemoryMember, topic: string, partition: number, next: number | null, acked?: readonly number[]): void;
  /** Whether nothing is on its way to the member: each partition is owned, by it or by another. */
  isSettled(member: MemoryMember): boolean;
  forget(topic: string): void;
}

/** @internal */
export function createGroup(partitionsOf: (topic: string) => number): MemoryGroup {
  const shares = new Map<string, Share[]>();
  let members: readonly MemoryMember[] = [];
  const leaving = new Set<MemoryMember>();
  let rebalancing = false;
  // Those that may have to move: all where a member comes or goes, else the one that came free.
  const unsure = new RingQueue<Share>();

  const sharesOf = (topic: string): Share[] => {
    let known = shares.get(topic);
    if (known === undefined) {
      known = Array.from({ length: partitionsOf(topic) }, (_, partition) => ({
        topic,
        partition,
        owner: null,
        revoking: false,
        committed: null,
        acked: new Set<number>(),
      }));
      shares.set(topic, known);
    }
    return known;
  };

  const shareOf = (topic: string, partition: number): Share => sharesOf(topic)[partition] as Share;

  const wanted = ({ topic, partition }: Share): MemoryMember | null => {
    const readers = members.filter((member) => member.topics.includes(topic) && !leaving.has(member));
    return readers[partition % readers.length] ?? null;
  };

  const move = (share: Share): void => {
    const { topic, partition, owner } = share;
    const next = wanted(share);
    if (owner === next || share.revoking || (owner !== null && leaving.has(owner))) return;
    if (owner === null) {
      share.owner = next;
      next?.assign(topic, partition);
      return;
    }
    share.revoking = true;
    owner.revoke(topic, partition, () => {
      if (share.owner !== owner) return;
      share.owner = null;
      share.revoking = false;
      rebalance([share]);
    });
  };

  // Members answer synchronously and may join or leave meanwhile: one round at a time.
  const rebalance = (freed: readonly Share[] = [...shares.values()].flat()): void => {
    for (const share of freed) unsure.push(share);
    if (rebalancing) return;
    rebalancing = true;
    for (let share = unsure.shift(); share !== undefined; share = unsure.shift()) {
      // Its topic may be gone by now.
      if (shares.get(share.topic)?.[share.partition] === share) move(share);
    }
    rebalancing = false;
    for (const member of members) member.rebalanced();
  };

  return {
    join: (member) => {
      members = [...members, member];
      for (const topic of member.topics) sharesOf(topic);
      rebalance();
    },
    leaving: (member) => void leaving.add(member),
    leave: (member) => {
      leaving.delete(member);
      members = members.filter((other) => other !== member);
      for (const share of [...shares.values()].flat()) {
        if (share.owner !== member) continue;
        share.owner = null;
        share.revoking = false;
      }
      rebalance();
    },
    committed: (topic, partition) => shareOf(topic, partition).committed,
    acked: (topic, partition) => shareOf(topic, partition).acked,
    commit: (member, topic, partition, next, acked = []) => {
      const share = shareOf(topic, partition);
      if (share.owner !== member) {
        throw new SluiceError(
          'source-failed',
          `fromMemory: ${topic}/${partition} belongs to another member of the group.`,
        );
      }
      for (const offset of acked) if (share.acked.size < MOST_ACKED) share.acked.add(offset);
      moveTo(share, next ?? share.committed);
    },
    isSettled: (member) =>
      member.topics.every((topic) =>
        sharesOf(topic).every(({ owner, revoking }) => owner !== null && !revoking && !leaving.has(owner)),
      ),
    forget: (topic) => void shares.delete(topic),
  };
}

// Past what is done already; what is passed is forgotten.
function moveTo(share: Share, next: number | null): void {
  const { acked } = share;
  let at = next;
  if (at !== null) {
    for (let passed = share.committed ?? at; passed < at && acked.size > 0; passed++) acked.delete(passed);
    while (acked.delete(at)) at++;
  }
  share.committed = at;
}
