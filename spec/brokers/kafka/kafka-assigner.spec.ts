import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import kafkajs from 'kafkajs';
import { kafkaAssigner } from '../../../lib/brokers/kafka/kafka-assigner.js';
import { randomSeed } from '../../support/seed.js';

const { MemberAssignment, MemberMetadata } = kafkajs.AssignerProtocol;
const seed = randomSeed();

type Topics = Readonly<Record<string, number>>;
type Members = Readonly<Record<string, readonly string[]>>;

/** Has the leader share `partitions` among `members`, decoded by kafkajs' own protocol. */
async function share(partitions: Topics, members: Members, leads: readonly string[]) {
  const misuses: (readonly string[])[] = [];
  const known = new Set(leads);
  const assigner = kafkaAssigner({ beforeJoin: () => undefined, onMixedTopics: (topics) => void misuses.push(topics) })(
    {
      cluster: {
        addTargetTopic: (topic) => {
          if (!(topic in partitions)) return Promise.reject(new Error('UNKNOWN_TOPIC_OR_PARTITION'));
          known.add(topic);
          return Promise.resolve();
        },
        findTopicPartitionMetadata: (topic) =>
          known.has(topic) ? Array.from({ length: partitions[topic] ?? 0 }, (_, partitionId) => ({ partitionId })) : [],
      },
    },
  );
  const answers = await assigner.assign({
    members: Object.entries(members).map(([memberId, topics]) => ({
      memberId,
      memberMetadata: MemberMetadata.encode({ version: 1, topics: [...topics], userData: Buffer.from('foreign') }),
    })),
    topics: [...leads],
  });
  const shares: Record<string, Record<string, number[]>> = {};
  for (const { memberId, memberAssignment } of answers) {
    shares[memberId] = { ...MemberAssignment.decode(memberAssignment)?.assignment };
  }
  return { shares, misuses };
}

describe(`the assigner (seed ${seed})`, () => {
  it("says its topics as kafkajs' own protocol does, under the name of kafkajs' own assigner", () => {
    const cluster = { addTargetTopic: () => Promise.resolve(), findTopicPartitionMetadata: () => [] };
    const assigner = kafkaAssigner({ beforeJoin: () => undefined, onMixedTopics: () => undefined })({ cluster });
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1, unit: 'grapheme' }), { maxLength: 20 }), (topics) => {
        const { name, metadata } = assigner.protocol({ topics });
        expect(MemberMetadata.decode(metadata)).toMatchObject({ version: 0, topics });
        expect(metadata).toEqual(MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }));
        expect([name, assigner.name, assigner.version]).toEqual(['RoundRobinAssigner', 'RoundRobinAssigner', 0]);
      }),
      { seed },
    );
  });

  it('gives each partition to one member that reads its topic, as evenly as kafkajs where all read the same', async () => {
    const topicList = fc.subarray(['a', 'b', 'c', 'd'], { minLength: 1 });
    const members = fc.array(topicList, { minLength: 1, maxLength: 6 });
    const sizes = fc.record({ a: fc.nat(9), b: fc.nat(9), c: fc.nat(9), d: fc.nat(9) });
    await fc.assert(
      fc.asyncProperty(sizes, members, async (partitions, lists) => {
        const named: Members = Object.fromEntries(lists.map((topics, i) => [`member-${i}`, topics]));
        const { shares, misuses } = await share(partitions, named, lists[0] as string[]);
        const given = Object.entries(shares).flatMap(([member, topics]) =>
          Object.entries(topics).flatMap(([topic, all]) => all.map((partition) => ({ member, topic, partition }))),
        );
        for (const { member, topic } of given) expect(named[member]).toContain(topic);
        const wanted = [...new Set(lists.flat())].flatMap((topic) =>
          Array.from({ length: partitions[topic as 'a'] }, (_, partition) => `${topic}/${partition}`),
        );
        expect(given.map(({ topic, partition }) => `${topic}/${partition}`).sort()).toEqual(wanted.sort());
        expect(Object.keys(shares).sort()).toEqual(Object.keys(named).sort());
        const alike = lists.every((topics) => topics.join() === (lists[0] as string[]).join());
        expect(misuses.length).toBe(alike ? 0 : 1);
        if (!alike) return;
        const counts = Object.keys(named).map((member) => given.filter((one) => one.member === member).length);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
      { seed, numRuns: 200 },
    );
  });

  it("shares as kafkajs' own assigner does where all read the leader's topics", async () => {
    const cluster = {
      findTopicPartitionMetadata: (topic: string) =>
        Array.from({ length: topic === 'a' ? 3 : 4 }, (_, partitionId) => ({ partitionId })),
    };
    const theirs = kafkajs.PartitionAssigners.roundRobin({
      cluster: cluster as never,
      groupId: 'g',
      logger: null as never,
    });
    const memberMetadata = MemberMetadata.encode({ version: 0, topics: ['a', 'b'], userData: Buffer.alloc(0) });
    const answers = await theirs.assign({
      members: ['x', 'y', 'z'].map((memberId) => ({ memberId, memberMetadata })),
      topics: ['a', 'b'],
    });
    const expected = Object.fromEntries(
      answers.map(({ memberId, memberAssignment }) => [
        memberId,
        { ...MemberAssignment.decode(memberAssignment)?.assignment },
      ]),
    );
    const lists = { x: ['a', 'b'], y: ['a', 'b'], z: ['a', 'b'] };
    await expect(share({ a: 3, b: 4 }, lists, ['a', 'b'])).resolves.toEqual({ shares: expected, misuses: [] });
  });

  it('gives the same whatever the order in which members and their topics are told', async () => {
    const one = await share({ a: 5, b: 3 }, { x: ['a', 'b'], y: ['b'], z: ['a'] }, ['a', 'b']);
    const other = await share({ a: 5, b: 3 }, { z: ['a'], y: ['b'], x: ['b', 'a'] }, ['b']);
    expect(other.shares).toEqual(one.shares);
    expect(other.misuses).toEqual([['a', 'b']]);
  });

  it('gives a member without a topic that exists an empty share, and goes on for the others', async () => {
    const { shares } = await share({ a: 2 }, { x: ['a'], y: ['gone'] }, ['a']);
    expect(shares).toEqual({ x: { a: [0, 1] }, y: {} });
  });

  it('asks before each join; what that throws holds the join or gives it up', () => {
    const answers = [Object.assign(new Error('draining'), { type: 'REBALANCE_IN_PROGRESS' }), null];
    const assigner = kafkaAssigner({
      beforeJoin: () => {
        const error = answers.shift();
        if (error) throw error;
      },
      onMixedTopics: () => undefined,
    })({ cluster: { addTargetTopic: () => Promise.resolve(), findTopicPartitionMetadata: () => [] } });
    expect(() => assigner.protocol({ topics: ['a'] })).toThrow('draining');
    expect(assigner.protocol({ topics: ['a'] }).name).toBe('RoundRobinAssigner');
  });
});
