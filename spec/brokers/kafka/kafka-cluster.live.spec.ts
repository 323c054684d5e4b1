import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { firstValueFrom, map, retry, timer } from 'rxjs';
import { ackEach, handle, publish, type TelemetryEvent } from '../../../lib/index.js';
import { fromKafka, kafkaPublisher } from '../../../lib/kafka.js';
import { describeIf } from '../../servers/describe-if.js';
import { startKafkaCluster, type KafkaCluster } from '../../servers/kafka-cluster.js';
import { kafkaTestClient, type KafkaTestClient } from '../../servers/kafka-test-client.js';
import { whyNoKafka } from '../../servers/why-no-kafka.js';
import { until } from '../../support/until.js';

const PARTITIONS = 3;

describeIf('fromKafka on three brokers', await whyNoKafka(), () => {
  let cluster: KafkaCluster;
  let client: KafkaTestClient;
  beforeAll(async () => {
    cluster = await startKafkaCluster();
    client = kafkaTestClient(cluster);
  });
  afterAll(() => cluster?.stop());

  // The one partition of the groups' offsets is led by what coordinates them.
  const coordinator = async (): Promise<number> => {
    const admin = client.newKafka().admin();
    await admin.connect();
    const { topics } = await admin.fetchTopicMetadata({ topics: ['__consumer_offsets'] });
    await admin.disconnect();
    return topics[0]?.partitions[0]?.leader ?? 0;
  };

  it('goes on committing where the coordinator of the group dies: nothing is lost, nothing is run twice', async () => {
    const topic = await client.createTopic({ partitions: PARTITIONS });
    const groupId = client.groupId();
    const started: string[] = [];
    const events: TelemetryEvent[] = [];
    const assigned = new Set<string>();
    const read = (member: string) =>
      fromKafka(client.newKafka(), {
        groupId,
        topics: [topic],
        telemetry: (event) => {
          events.push(event);
          if (event.type === 'assigned') assigned.add(member);
        },
      })
        .pipe(
          handle((_, { id }) => timer(5).pipe(map(() => void started.push(id))), { concurrency: 16 }),
          ackEach(),
        )
        .subscribe();
    const members = [read('a'), read('b')];
    const publisher = kafkaPublisher(client.newKafka(), { topic });
    // A connect may meet the dead broker, as long as the others tell of it.
    const publishSome = (): Promise<unknown> => {
      const messages = Array.from({ length: 50 }, (_, i) => ({ key: `k${i}`, value: 'x' }));
      return firstValueFrom(publish(publisher, messages).pipe(retry({ count: 40, delay: 250 })));
    };
    await publishSome();
    await until('both read', () => assigned.size === 2);
    await until('the first are done', () => started.length === 50);

    await cluster.kill(await coordinator());
    for (let i = 0; i < 20; i++) {
      await publishSome();
      await sleep(250);
    }
    const ends = await client.endOffsets(topic);
    const stored = Number(ends.reduce((sum, end) => sum + end));
    expect(stored).toBeGreaterThanOrEqual(1_050);
    await until('all are done', () => started.length >= stored);
    const isCommitted = async (): Promise<boolean> =>
      (await client.committed(groupId, topic)).every((offset, partition) => offset === ends[partition]);
    await until('all is committed, by what is left of the cluster', isCommitted, 10_000);
    expect([new Set(started).size, started.length]).toEqual([stored, stored]);
    expect(events.filter((event) => event.type === 'revoked' && !event.drained)).toEqual([]);

    for (const member of members) member.unsubscribe();
    await until('both are closed', () => events.filter(({ type }) => type === 'closed').length === members.length);
    await client.close();
  });
});
