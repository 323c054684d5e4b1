import { environment } from '../../core/environment.js';
import type { KafkaClusterLike, KafkaMembership, KafkaOffsetsByTopic } from './kafka-client.js';
import { missesCoordinator } from './kafka-errors.js';

/**
 * A consumer as a member of its group. kafkajs looks for the coordinator when it joins and never after: where that broker
 * dies, its commits and signs of life go there on and on, until the group has given the partitions away.
 * @internal
 */
export interface Membership {
  /** Made with the assigner. */
  cluster: KafkaClusterLike | null;
  joined(): void;
  /** A commit or a sign of life was taken. */
  confirmed(member: KafkaMembership): void;
  /** Runs a commit; where it does not reach the coordinator, commits there by itself, in the same generation. */
  commit(offsets: KafkaOffsetsByTopic, usual: () => Promise<void>): Promise<void>;
  /** No sign of life has been taken for so long: looks whether there is a coordinator. */
  look(patienceMs: number): Promise<void>;
  /** Whether kafkajs must join again to find the coordinator; true once. */
  takeRejoin(): boolean;
}

/** @internal */
export function createMembership(groupId: string): Membership {
  let member: KafkaMembership | null = null;
  // What is told of an earlier generation may come after a join.
  let newest = -1;
  let lastSign = environment.now();
  let looking = false;
  let rejoin = false;

  const membership: Membership = {
    cluster: null,
    joined: () => {
      newest = member?.groupGenerationId ?? newest;
      member = null;
      rejoin = false;
      lastSign = environment.now();
    },
    confirmed: ({ memberId, groupGenerationId }) => {
      lastSign = environment.now();
      if (groupGenerationId <= newest) return;
      if (member?.groupGenerationId !== groupGenerationId) member = { memberId, groupGenerationId };
    },
    commit: async (offsets, usual) => {
      const current = member;
      try {
        await usual();
      } catch (error) {
        const { cluster } = membership;
        if (current === null || cluster === null || !missesCoordinator(error)) throw error;
        const coordinator = await cluster.findGroupCoordinator({ groupId });
        if (member !== current) throw error;
        await coordinator.offsetCommit({ groupId, ...current, topics: offsets.topics });
        lastSign = environment.now();
        rejoin = true;
      }
    },
    look: async (patienceMs) => {
      const isSilent = (): boolean => environment.now() - lastSign > patienceMs;
      if (looking || rejoin || !isSilent()) return;
      looking = true;
      try {
        await membership.cluster?.findGroupCoordinator({ groupId });
        rejoin = isSilent();
      } catch {
        // Nobody is there: kafkajs goes on trying.
        return;
      } finally {
        looking = false;
      }
    },
    takeRejoin: () => {
      const taken = rejoin;
      rejoin = false;
      return taken;
    },
  };
  return membership;
}
