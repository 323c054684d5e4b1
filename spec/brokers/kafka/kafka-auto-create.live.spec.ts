import { expect, it } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { firstValueFrom, map, timer } from 'rxjs';
import { ackEach, publish, retryToDlq, type TelemetryEvent } from '../../../lib/index.js';
import { fromKafka, kafkaPublisher } from '../../../lib/kafka.js';
import { describeOwnKafka } from '../../servers/describe-own-kafka.js';
import { until } from '../../support/until.js';

describeOwnKafka(
  'a broker that makes topics by itself',
  (server) => {
    it('has none made by the look for a dead-letter topic, and what is missing is told before anything fails', async () => {
      const kafka = new Kafka({ clientId: 'spec', brokers: [...server().brokers], logLevel: logLevel.NOTHING });
      const admin = kafka.admin();
      await admin.connect();
      await admin.createTopics({ topics: [{ topic: 'orders', numPartitions: 1 }], waitForLeaders: true });
      await firstValueFrom(publish(kafkaPublisher(kafka, { topic: 'orders' }), [{ value: 'good' }]));

      const events: TelemetryEvent[] = [];
      const subscription = fromKafka(kafka, {
        groupId: 'g',
        topics: ['orders'],
        telemetry: (event) => void events.push(event),
      })
        .pipe(retryToDlq({ deadLetters: kafkaPublisher(kafka, { topic: 'orders-dead' }) }), ackEach())
        .subscribe();
      await until('the missing topic is told', () => events.some(({ type }) => type === 'unavailable'));
      expect(events.find(({ type }) => type === 'unavailable')).toMatchObject({
        what: 'the dead-letter publisher',
        error: {
          message: expect.stringContaining(
            '(topic orders-dead): the broker says UNKNOWN_TOPIC_OR_PARTITION',
          ) as unknown,
          cause: { code: 'unknown-topic' },
        },
      });
      // It is asked for again meanwhile.
      await firstValueFrom(timer(1_500).pipe(map(() => undefined)));
      expect(await admin.listTopics()).not.toContain('orders-dead');

      await admin.createTopics({ topics: [{ topic: 'orders-dead', numPartitions: 1 }], waitForLeaders: true });
      await until('it is found', () => events.some(({ type }) => type === 'recovered'));
      subscription.unsubscribe();
      await until('the source has closed', () => events.some(({ type }) => type === 'closed'));
      await admin.disconnect();
    });
  },
  { config: { 'auto.create.topics.enable': 'true' } },
);
