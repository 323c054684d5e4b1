// Loads every entry of the installed package in both formats and runs a pipeline; exits non-zero when anything is off.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import * as root from 'rxsluice';
import * as broker from 'rxsluice/broker';
import * as kafka from 'rxsluice/kafka';
import * as kinesis from 'rxsluice/kinesis';
import * as memory from 'rxsluice/memory';
import * as pubsub from 'rxsluice/pubsub';
import * as testing from 'rxsluice/testing';

const require = createRequire(import.meta.url);
const required = {
  root: require('rxsluice'),
  broker: require('rxsluice/broker'),
  memory: require('rxsluice/memory'),
  kafka: require('rxsluice/kafka'),
  kinesis: require('rxsluice/kinesis'),
  pubsub: require('rxsluice/pubsub'),
  testing: require('rxsluice/testing'),
};

const names = (entry) =>
  Object.keys(entry)
    .filter((name) => name !== 'default' && name !== '__esModule' && name !== 'module.exports')
    .sort();
assert.deepEqual(names(root), names(required.root));
assert.deepEqual(names(broker), names(required.broker));
assert.deepEqual(names(memory), names(required.memory));
assert.deepEqual(names(kafka), names(required.kafka));
assert.deepEqual(names(kinesis), names(required.kinesis));
assert.deepEqual(names(pubsub), names(required.pubsub));
assert.deepEqual(names(testing), names(required.testing));

for (const [format, entries] of Object.entries({ esm: { root, memory }, cjs: required })) {
  assert.deepEqual(await pipeline(entries), { values: [2, 4], deadLetters: 1 }, format);
}

function pipeline({ root: r, memory: m }) {
  const broker = m.memoryBroker({ topics: { numbers: {}, dead: {} } });
  const values = [];
  return new Promise((resolve, reject) => {
    const consume = () =>
      m
        .fromMemory(broker, { groupId: 'smoke', topics: ['numbers'], until: 'end', telemetry: () => undefined })
        .pipe(
          r.ordered({ by: 'key' }),
          r.retryToDlq({ maxRetries: 1, deadLetters: m.memoryPublisher(broker, { topic: 'dead' }) }),
          r.decode(r.json()),
          r.dedupe({ key: String, store: m.memoryIdempotencyStore() }),
          r.handle(async (value) => value * 2, { concurrency: 2 }),
          r.ackEach(),
        )
        .subscribe({
          next: (value) => values.push(value),
          error: reject,
          complete: () => resolve({ values: values.sort(), deadLetters: broker.messages('dead').length }),
        });
    const messages = ['1', '2', '1', 'not json'].map((value) => ({ key: 'k', value }));
    r.publish(m.memoryPublisher(broker, { topic: 'numbers' }), messages).subscribe({
      error: reject,
      complete: consume,
    });
  });
}
