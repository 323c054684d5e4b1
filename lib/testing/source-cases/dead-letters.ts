import { constant } from '../../core/backoff.js';
import type { Message } from '../../core/message.js';
import { ackEach } from '../../operators/ack-each.js';
import { dedupe } from '../../operators/dedupe.js';
import { handle } from '../../operators/handle.js';
import { retryToDlq } from '../../operators/retry-to-dlq.js';
import { memoryIdempotencyStore } from '../../stores/memory/memory-idempotency-store.js';
import { check, list } from '../check.js';
import { messages } from '../numbered.js';
import type { Probe, RawDelivery } from '../probe.js';
import { headersDiffer, headerValues, sameBytes, show, textOf } from '../raw.js';
import { scriptedPublisher, type ScriptedPublisher } from '../scripted-publisher.js';
import type { SourceCase } from '../source-case.js';
import type { Place, SourceWorld } from '../source-world.js';

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

const ADDED_HEADERS = [
  'dead-letter-error-class',
  'dead-letter-error-message',
  'dead-letter-error-stack',
  'dead-letter-attempts',
  'dead-letter-first-failure-at',
  'dead-letter-last-failure-at',
  'dead-letter-source-topic',
  'dead-letter-source-partition',
  'dead-letter-source-position',
];

/** 26, 27 and 33: dead letters on this broker. @internal */
export const deadLetterCases: readonly SourceCase[] = [
  {
    behaviours: [26],
    title: 'keeps a message unsettled while the publisher of its dead letter is out',
    guarantees: ['I1', 'I6'],
    run: (world) => staysUnsettled(world, 'out'),
  },
  {
    behaviours: [26],
    title: 'keeps a message unsettled while its dead letter fails to be published',
    guarantees: ['I1', 'I6'],
    run: (world) => staysUnsettled(world, 'transient'),
  },
  {
    behaviours: [26],
    title: 'keeps a message unsettled while its dead letter is refused',
    guarantees: ['I1', 'I6'],
    run: (world) => staysUnsettled(world, 'permanent'),
  },
  {
    behaviours: [27, 33],
    title: 'brings a dead letter with its raw key, value and headers, and with all that is known of the failure',
    guarantees: ['I6'],
    needs: ['headers'],
    run: async (world) => {
      const place = await world.place();
      const graveyard = await world.place();
      const sent = { value: Uint8Array.of(0, 255, 1), key: 'key', headers: { traceparent: TRACE, kind: 'order' } };
      await world.publish(place.topic, [{ ...sent, partition: 0 }]);
      openFailing(world, place, graveyard, () => true);
      const [letter] = await deadLettersOf(world, world.open(graveyard), 1);
      check(sameBytes(letter.value, sent.value), () => `The value ${show(sent.value)} became ${show(letter.value)}.`);
      check(
        !world.features.keys || sameBytes(letter.key, sent.key),
        () => `The key ${show(sent.key)} became ${show(letter.key)}.`,
      );
      const difference = headersDiffer(sent.headers, letter.headers);
      check(difference === null, () => `Of the original, ${difference}.`);
      const missing = [...ADDED_HEADERS, ...(world.features.groups ? ['dead-letter-group'] : [])].filter(
        (name) => headerValues(letter.headers, name).length !== 1,
      );
      check(missing.length === 0, () => `Of a dead letter's headers there is not one each: ${list(missing)}.`);
      const read = (name: string): string => textOf(headerValues(letter.headers, `dead-letter-${name}`)[0] ?? null);
      check(read('attempts') === '2', () => `Tried twice, and dead-letter-attempts is ${read('attempts')}.`);
      check(
        read('error-message') === 'fails on purpose',
        () => `dead-letter-error-message is '${read('error-message')}', not 'fails on purpose'.`,
      );
      check(
        read('source-topic') === place.topic,
        () => `dead-letter-source-topic is ${read('source-topic')}, not ${place.topic}.`,
      );
    },
  },
  {
    behaviours: [27],
    title:
      'processes a redriven dead letter once, however often it is redriven, and says where it was read last and first',
    guarantees: ['I2', 'I6'],
    needs: ['headers'],
    run: async (world) => {
      const place = await world.place();
      const graveyard = await world.place();
      let isBroken = true;
      const { processed, tries } = openFailing(world, place, graveyard, () => isBroken);
      // Settled, since a queue may give no other of a key before.
      const letters = world.open(graveyard, (source) => source.pipe(ackEach()));
      await world.publish(place.topic, [{ value: 'order-1', key: 'key', partition: 0 }]);
      const [first] = await deadLettersOf(world, letters, 1);
      await world.publish(place.topic, [redriven(first)]);
      const [, second] = await deadLettersOf(world, letters, 2);
      const read = (letter: RawDelivery | undefined, name: string): string =>
        show(headerValues(letter?.headers ?? {}, `dead-letter-${name}`)[0]);
      for (const name of ['position', 'topic']) {
        const [was, is] = [read(first, `source-${name}`), read(second, `origin-${name}`)];
        check(
          was === is,
          () => `dead-letter-source-${name} was ${was}, and after a redrive dead-letter-origin-${name} is ${is}.`,
        );
      }
      const [before, after] = [first, second].map((letter) => read(letter, 'source-position'));
      check(
        before !== after,
        () => `dead-letter-source-position is ${after} still, though it was redriven to another one.`,
      );
      isBroken = false;
      const triesBefore = tries();
      await world.publish(place.topic, [redriven(first), redriven(first), redriven(second as RawDelivery)]);
      await world.until(
        () => processed.length > 0,
        () => 'The cause is mended, the dead letter is redriven, and it was not processed.',
      );
      if (world.features.committedPositions) await world.commits(place, [5]);
      await world.stays(
        () => processed.length === 1 && tries() === triesBefore + 1,
        () =>
          `Redriven three times, it was tried ${tries() - triesBefore} times and processed ${processed.length} times.`,
      );
    },
  },
];

async function staysUnsettled(world: SourceWorld, answer: ScriptedPublisher['answer']): Promise<void> {
  const place = await world.place();
  await world.publish(place.topic, messages(['fails', 'works'], { partition: 0 }));
  const deadLetters = scriptedPublisher();
  deadLetters.answer = answer;
  const open = (): Probe =>
    world.open(place, (source) =>
      source.pipe(
        retryToDlq({ deadLetters, maxRetries: 0 }),
        handle((value) => {
          if (textOf(value) === 'fails') throw new Error('fails on purpose');
        }),
        ackEach(),
      ),
    );
  const probe = open();
  await world.until(
    () => deadLetters.calls > 0 && probe.values.length === 1,
    () => `The dead letter was tried ${deadLetters.calls} times, and ${probe.values.length} other message was done.`,
  );
  if (world.features.committedPositions) {
    let committed: number | null = null;
    await world.stays(
      async () => {
        committed = (await world.committed(place))[0] ?? null;
        return (committed ?? 0) === 0;
      },
      () => `The dead letter of the first message is not published, and ${committed} is committed.`,
    );
  }
  // It is not lost with the process either.
  probe.unsubscribe();
  await world.closes(probe);
  deadLetters.answer = 'ok';
  const next = open();
  await world.until(
    () => deadLetters.published.length === 1,
    () => `The publisher is back; the next subscription received ${list(next.texts)} and published nothing.`,
  );
  if (world.features.committedPositions) await world.commits(place, [2]);
}

interface Failing {
  readonly processed: readonly string[];
  readonly tries: () => number;
}

/** Fails twice a message for as long as it is broken; the value is the idempotency key. */
function openFailing(world: SourceWorld, place: Place, graveyard: Place, isBroken: () => boolean): Failing {
  const processed: string[] = [];
  let tries = 0;
  world.open(place, (source) =>
    source.pipe(
      retryToDlq({ deadLetters: world.publisherTo(graveyard.topic), maxRetries: 1, backoff: constant(1) }),
      dedupe({ key: textOf, store: memoryIdempotencyStore() }),
      handle((value) => {
        tries++;
        if (isBroken()) throw new Error('fails on purpose');
        processed.push(textOf(value));
      }),
      ackEach(),
    ),
  );
  return { processed, tries: () => tries };
}

async function deadLettersOf(
  world: SourceWorld,
  letters: Probe,
  count: number,
): Promise<readonly [RawDelivery, ...RawDelivery[]]> {
  await world.until(
    () => letters.deliveries.length >= count,
    () => `${letters.deliveries.length} of ${count} dead letters came.`,
  );
  await world.stays(
    () => letters.deliveries.length === count,
    () => `${letters.deliveries.length} dead letters came, not ${count}.`,
  );
  return letters.deliveries as [RawDelivery, ...RawDelivery[]];
}

function redriven({ value, key, headers }: RawDelivery): Message {
  return { value, key, headers, partition: 0 };
}
