import { lastValueFrom } from 'rxjs';
import { ackEach, decode, handle, json, ordered, permanent, publish, retryToDlq, unavailable } from 'rxsluice';
import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';

// A process with nothing configured, in which all that can be told of has gone wrong. It prints nothing by itself.
const [, , secret = ''] = process.argv;
const broker = memoryBroker({ topics: { in: {}, dlq: {} } });
const message = { key: secret, value: `{"card": ${secret}`, headers: { trace: secret } };

const failing = (reason: unknown): (() => never) => {
  return () => {
    throw reason;
  };
};
// Made anew each time: a mark stays on its error.
const reasons = [
  () => secret,
  () => new Error(secret),
  () => Object.freeze(new Error(secret)),
  () => ({ message: secret }),
];
const marked = reasons.flatMap((reason): unknown[] => [reason(), permanent(reason()), unavailable(reason())]);
// Two messages: all that is not marked as an outage, and what is no JSON.
const LETTERS = 2 * (2 * reasons.length + 1);

await lastValueFrom(publish(memoryPublisher(broker, { topic: 'in' }), [message, message]));
const deadLetters = memoryPublisher(broker, { topic: 'dlq' });
const missing = memoryPublisher(broker, { topic: 'none' });
let group = 0;
const source = () =>
  fromMemory(broker, { groupId: String(++group), topics: ['in'], unsettledWarnMs: 200, drainTimeoutMs: 0 });

const subscriptions = [
  ...marked.flatMap((reason) => [
    source()
      .pipe(retryToDlq({ deadLetters, maxRetries: 0 }), handle(failing(reason)), ackEach())
      .subscribe(),
    source()
      .pipe(handle(failing(reason)), ackEach())
      .subscribe(),
    source()
      .pipe(handle(failing(reason)), retryToDlq({ deadLetters }), ackEach())
      .subscribe(),
    source()
      .pipe(ordered({ by: failing(reason) }), retryToDlq({ deadLetters }), ackEach())
      .subscribe(),
  ]),
  source().pipe(retryToDlq({ deadLetters }), decode(json()), ackEach()).subscribe(),
  source()
    .pipe(retryToDlq({ deadLetters: missing }), decode(json()), ackEach())
    .subscribe(),
  // Held for long enough to be told of.
  source()
    .pipe(
      handle(() => new Promise(() => undefined)),
      ackEach(),
    )
    .subscribe(),
];
const warnings: string[] = [];
process.on('warning', ({ message: warning }) => void warnings.push(warning));
const isTold = (): boolean =>
  warnings.some((warning) => warning.includes('unsettled')) && broker.messages('dlq').length === LETTERS;
while (!isTold()) await new Promise((resolve) => setTimeout(resolve, 20));
for (const each of subscriptions) each.unsubscribe();
