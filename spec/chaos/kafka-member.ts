// One member of a group in a process of its own, to be killed: writes each start and each end to a file.
import { openSync, writeSync } from 'node:fs';
import { Kafka, logLevel } from 'kafkajs';
import { ackEach, handle, ordered, retryToDlq } from '../../lib/index.js';
import { fromKafka, kafkaPublisher } from '../../lib/kafka.js';

interface Settings {
  readonly brokers: string[];
  readonly topic: string;
  readonly dlq: string;
  readonly groupId: string;
  readonly file: string;
}

const { brokers, topic, dlq, groupId, file } = JSON.parse(process.argv[2] as string) as Settings;
const out = openSync(file, 'a');
const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());

fromKafka(kafka, { groupId, topics: [topic], stop: stop.signal, sessionTimeoutMs: 6_000, drainTimeoutMs: 5_000 })
  .pipe(
    ordered({ by: 'key' }),
    retryToDlq({ deadLetters: kafkaPublisher(kafka, { topic: dlq }) }),
    handle(
      async (_value, { id }) => {
        writeSync(out, `s ${id}\n`);
        await new Promise((resolve) => setTimeout(resolve, 5 + 45 * Math.random()));
        writeSync(out, `d ${id}\n`);
      },
      { concurrency: 64 },
    ),
    ackEach(),
  )
  .subscribe({
    error: (error: unknown) => {
      writeSync(out, `e ${String(error)}\n`);
      process.exitCode = 1;
    },
  });
