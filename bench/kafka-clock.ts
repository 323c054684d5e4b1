import { Kafka, logLevel, type Consumer } from 'kafkajs';
import type { KafkaClientLike } from '../lib/kafka.js';

/** What one run took, from the first fetched record until everything was committed. */
export interface Taken {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly commits: number;
}

/** Watches a consumer, ours or a raw one, through the events that kafkajs gives of it. */
export interface Clock {
  watch(consumer: Consumer): void;
  /** Resolves when the commits of all partitions add up to the number of records. */
  readonly taken: Promise<Taken>;
}

export function createClock(records: number): Clock {
  let begun = 0;
  let cpu: NodeJS.CpuUsage;
  let commits = 0;
  const offsets = new Map<number, number>();
  let resolve: (taken: Taken) => void;
  const taken = new Promise<Taken>((done) => (resolve = done));
  return {
    taken,
    watch: (consumer) => {
      consumer.on(consumer.events.START_BATCH_PROCESS, () => {
        if (begun > 0) return;
        begun = performance.now();
        cpu = process.cpuUsage();
      });
      consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => {
        commits++;
        for (const { partitions } of payload.topics) {
          for (const { partition, offset } of partitions) offsets.set(partition, Number(offset));
        }
        if ([...offsets.values()].reduce((sum, offset) => sum + offset, 0) < records) return;
        const { user, system } = process.cpuUsage(cpu);
        resolve({ seconds: (performance.now() - begun) / 1_000, cpuSeconds: (user + system) / 1e6, commits });
      });
    },
  };
}

/** A silent client. */
export function kafkaAt(brokers: readonly string[]): Kafka {
  return new Kafka({ brokers: [...brokers], clientId: 'bench', logLevel: logLevel.NOTHING });
}

/** A client whose consumers a clock watches. */
export function watchedKafka(brokers: readonly string[], clock: Clock): KafkaClientLike {
  const kafka = kafkaAt(brokers);
  return {
    admin: () => kafka.admin(),
    producer: (config) => kafka.producer(config),
    consumer: (config) => {
      const consumer = kafka.consumer(config);
      clock.watch(consumer);
      return consumer;
    },
  };
}
