// What people write today, and ours, as processes to be killed: `node … naive|ours <settings>`.
import { openSync, writeSync } from 'node:fs';
import { mergeMap, Subject } from 'rxjs';
import { ackEach, handle } from '../lib/index.js';
import { fromKafka } from '../lib/kafka.js';
import { kafkaAt } from './kafka-clock.js';

const [kind, settings] = process.argv.slice(2) as ['naive' | 'ours', string];
const { brokers, topic, groupId, file } = JSON.parse(settings) as Record<'topic' | 'groupId' | 'file', string> & {
  brokers: string[];
};
const out = openSync(file, 'a');
const work = async (id: string): Promise<void> => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  writeSync(out, `${id}\n`);
};

if (kind === 'naive') void naive();
else {
  fromKafka(kafkaAt(brokers), { groupId, topics: [topic], sessionTimeoutMs: 6_000, drainTimeoutMs: 5_000 })
    .pipe(
      handle((_value, { position: { partition, offset } }) => work(`${partition}/${offset}`), { concurrency: 64 }),
      ackEach(),
    )
    .subscribe();
}

async function naive(): Promise<void> {
  const messages = new Subject<string>();
  messages.pipe(mergeMap(work, 64)).subscribe();
  const consumer = kafkaAt(brokers).consumer({ groupId, sessionTimeout: 6_000 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    eachMessage: ({ partition, message }) => Promise.resolve(messages.next(`${partition}/${message.offset}`)),
  });
}
