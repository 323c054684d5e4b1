import { defer, Observable, of } from 'rxjs';
import { environment } from '../../core/environment.js';
import { SluiceError } from '../../core/errors.js';
import { hashOf } from '../../core/hash.js';
import { isBytes } from '../../core/is-bytes.js';
import { kindOf } from '../../core/kind-of.js';
import type { HeaderValue, Message, MessageBytes, MessageHeaders } from '../../core/message.js';
import { checkNames, checkOptions } from '../../core/options.js';
import { ownBytes, ownHeaders, wrongHeaders } from '../../core/own-message.js';
import { refusedFor } from '../../core/publish-call.js';
import type { Publisher, PublisherConnection, PublishOutcome } from '../../core/publisher.js';
import { internalsOf, isMemoryBroker, unknownTopic, type MemoryBroker, type MemoryTopic } from './memory-client.js';
import { append, truncate } from './memory-log.js';
import type { MemoryPublisherOptions } from './memory-options.js';
import type { MemoryPosition } from './memory-source.js';

/**
 * Publishes to a topic of a memory broker. Text is stored as UTF-8. A partition that the topic does not have, a message that is too
 * large or is no bytes is refused by itself, as permanent; so is all that is published after the topic was deleted. `connect`
 * fails with `unknown-topic` where there is none.
 * @public
 */
export function memoryPublisher(broker: MemoryBroker, options: MemoryPublisherOptions): Publisher<Message> {
  checkNames('memoryPublisher', options, ['topic']);
  checkOptions(
    'memoryPublisher',
    { broker, ...options },
    {
      broker: { required: true, that: { be: 'a memoryBroker()', holds: isMemoryBroker } },
      topic: { required: true, type: 'string' },
    },
  );
  const publish = (messages: readonly Message[]): Observable<readonly PublishOutcome[]> =>
    defer(() => of(publishAll(broker, options.topic, messages)));

  return {
    connect: () =>
      new Observable<PublisherConnection<Message>>((subscriber) => {
        if (internalsOf(broker).topic(options.topic) !== undefined) subscriber.next({ publish });
        else subscriber.error(unknownTopic('memoryPublisher', options.topic));
      }),
  };
}

function publishAll(broker: MemoryBroker, name: string, messages: readonly Message[]): PublishOutcome[] {
  const topic = internalsOf(broker).topic(name);
  const touched = new Set<number>();
  const outcomes = messages.map((message): PublishOutcome => {
    try {
      if (topic === undefined) throw unknownTopic('memoryPublisher', name);
      const position = store(topic, message);
      touched.add(position.partition);
      return { status: 'ok', position };
    } catch (error) {
      return refusedFor('memoryPublisher', error);
    }
  });
  for (const partition of touched) {
    for (const reader of [...(topic as MemoryTopic).readers]) reader.wake(partition);
  }
  return outcomes;
}

function store(topic: MemoryTopic, message: Message): MemoryPosition {
  const { maxMessageBytes = Infinity, retainMessages = Infinity } = topic.options;
  const key = bytesOf(message.key ?? null);
  const value = bytesOf(message.value);
  const headers = ownHeaders(checked(message.headers ?? {}));
  const size = (key?.length ?? 0) + (value?.length ?? 0) + headerBytes(headers);
  if (size > maxMessageBytes)
    throw refused(`${size} bytes are more than the ${maxMessageBytes} that ${topic.name} takes`);
  const partition = message.partition ?? partitionOf(topic, key);
  if (!Number.isInteger(partition)) throw refused('a partition must be a whole number');
  const log = topic.logs[partition];
  if (log === undefined) throw refused(`${topic.name} has no partition ${partition}`);
  const { timestamp = environment.wallClock() } = message;
  if (!Number.isSafeInteger(timestamp)) throw refused('a timestamp must be whole milliseconds');
  const { offset } = append(log, { key, value, headers, timestamp });
  if (log.end - log.first > retainMessages) truncate(log, log.end - retainMessages);
  return { broker: 'memory', topic: topic.name, partition, offset };
}

function partitionOf(topic: MemoryTopic, key: Uint8Array | null): number {
  return (key === null ? topic.turn++ : hashOf(key) >>> 0) % topic.logs.length;
}

// A copy: whoever publishes may use the buffer again.
function bytesOf(bytes: MessageBytes): Uint8Array | null {
  if (bytes === null || isBytes(bytes)) return ownBytes(bytes);
  if (typeof bytes === 'string') return new TextEncoder().encode(bytes);
  throw refused(`a key and a value must be bytes, text or null, not ${kindOf(bytes)}`);
}

// The memory broker refuses what another broker refuses, or tests would pass with headers that fail later.
function checked(headers: MessageHeaders): MessageHeaders {
  const wrong = wrongHeaders(headers);
  if (wrong !== null) throw refused(wrong);
  for (const given of Object.values(headers)) {
    if (given === undefined) continue;
    for (const value of (Array.isArray(given) ? given : [given]) as readonly unknown[]) {
      if (typeof value === 'string' || isBytes(value)) continue;
      throw refused(`a header must be bytes or text, not ${kindOf(value)}`);
    }
  }
  return headers;
}

/** How much the headers of a message weigh, in bytes of text or as given. @internal */
export function headerBytes(headers: MessageHeaders): number {
  let bytes = 0;
  for (const name of Object.keys(headers)) {
    const value = headers[name] ?? [];
    const values = typeof value === 'string' || isBytes(value) ? [value] : value;
    bytes += name.length + values.reduce((sum: number, one: HeaderValue) => sum + one.length, 0);
  }
  return bytes;
}

function refused(why: string): SluiceError {
  return new SluiceError('publish-failed', `memoryPublisher: ${why}.`);
}
