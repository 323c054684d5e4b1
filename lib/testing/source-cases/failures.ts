import { NEVER } from 'rxjs';
import { constant } from '../../core/backoff.js';
import { ackEach } from '../../operators/ack-each.js';
import { decode } from '../../operators/decode.js';
import { handle } from '../../operators/handle.js';
import { json } from '../../operators/json.js';
import { retryToDlq } from '../../operators/retry-to-dlq.js';
import { check, list } from '../check.js';
import { messages } from '../numbered.js';
import { headerValues, sameBytes, show, textOf } from '../raw.js';
import { scriptedPublisher } from '../scripted-publisher.js';
import type { SourceCase } from '../source-case.js';

// A timer may fire a little before what the clock says.
const CLOCK_SLACK_MS = 2;

/** 23 to 25: failures on the way, through the operators on the source. @internal */
export const failureCases: readonly SourceCase[] = [
  {
    behaviours: [23],
    title: 'has what cannot be decoded published with its raw bytes after one attempt, and goes on',
    guarantees: ['I6', 'I7'],
    run: async (world) => {
      const place = await world.place();
      const broken = Uint8Array.of(0x7b, 0xff, 0x00, 0x22);
      await world.publish(place.topic, [
        { value: '"before"', key: 'key' },
        { value: broken, key: 'key' },
        { value: '"after"', key: 'key' },
      ]);
      const deadLetters = scriptedPublisher();
      const probe = world.open(place, (source) =>
        source.pipe(retryToDlq({ deadLetters, backoff: constant(1) }), decode(json()), ackEach()),
      );
      await world.until(
        () => probe.values.length === 2 && deadLetters.published.length === 1,
        () =>
          `Of two good messages ${probe.values.length} came, of one bad one ${deadLetters.published.length} dead letters.`,
      );
      check(
        sameBytes(deadLetters.published[0]?.value ?? null, broken),
        () => `${show(broken)} was undecodable, and its dead letter holds ${show(deadLetters.published[0]?.value)}.`,
      );
      const attempts = textOf(headerValues(deadLetters.published[0]?.headers ?? {}, 'dead-letter-attempts')[0] ?? null);
      check(attempts === '1', () => `It was undecodable, and was tried ${attempts} times.`);
      if (world.features.committedPositions) await world.commits(place, [3]);
    },
  },
  {
    behaviours: [24],
    title: 'survives handlers that throw, reject and never settle: those come again, the others go on',
    guarantees: ['I2', 'I7'],
    run: async (world) => {
      const place = await world.place();
      const troubled = ['throws', 'rejects', 'hangs'];
      await world.publish(place.topic, messages([...troubled, 'works'], { partition: 0 }));
      const tries = new Map<string, number>();
      const probe = world.open(place, (source) =>
        source.pipe(
          handle(
            (value) => {
              const text = textOf(value);
              const first = !tries.has(text);
              tries.set(text, (tries.get(text) ?? 0) + 1);
              if (first && text === 'throws') throw new Error('thrown on purpose');
              if (first && text === 'rejects') return Promise.reject(new Error('rejected on purpose'));
              if (first && text === 'hangs') return NEVER;
              return Promise.resolve(text);
            },
            { concurrency: 4, timeoutMs: world.timings.quietMs },
          ),
          ackEach(),
        ),
      );
      await world.until(
        () => probe.values.length === 4,
        () =>
          `Of 4 messages these are done: ${list(probe.values.map(String))}; tried: ${list([...tries].map(([text, times]) => `${text} ${times} ×`))}.`,
      );
      for (const text of troubled)
        check(tries.get(text) === 2, () => `${text} was tried ${tries.get(text)} times, not 2.`);
      if (world.features.committedPositions) await world.commits(place, [4]);
    },
  },
  {
    behaviours: [25],
    title: 'tries a failing message maxRetries times more, each after its backoff, then publishes it once',
    guarantees: ['I2', 'I6'],
    run: async (world) => {
      const place = await world.place();
      await world.publish(place.topic, messages(['fails', 'works'], { partition: 0 }));
      const delayMs = Math.max(20, world.timings.quietMs / 5);
      const deadLetters = scriptedPublisher();
      const tries: { readonly attempt: number; readonly atMs: number }[] = [];
      const probe = world.open(place, (source) =>
        source.pipe(
          retryToDlq({ deadLetters, maxRetries: 2, backoff: constant(delayMs) }),
          handle((value, { attempt }) => {
            if (textOf(value) === 'works') return;
            tries.push({ attempt, atMs: performance.now() });
            throw new Error('fails on purpose');
          }),
          ackEach(),
        ),
      );
      await world.until(
        () => deadLetters.published.length > 0 && probe.values.length > 0,
        () => `Tried ${tries.length} times at maxRetries 2, and there is no dead letter.`,
      );
      await world.stays(
        () => tries.length === 3 && deadLetters.published.length === 1,
        () => `At maxRetries 2 it was tried ${tries.length} times and published ${deadLetters.published.length} times.`,
      );
      // It starts at what the broker says, and goes up by one each time.
      const attempts = tries.map(({ attempt }) => attempt - (tries[0]?.attempt ?? 0) + 1).join();
      check(attempts === '1,2,3', () => `The attempts were numbered ${tries.map(({ attempt }) => attempt).join()}.`);
      for (const [index, { atMs }] of tries.slice(1).entries()) {
        const waitedMs = atMs - (tries[index]?.atMs ?? 0);
        check(
          waitedMs >= delayMs - CLOCK_SLACK_MS,
          () => `Retry ${index + 1} came after ${waitedMs.toFixed(1)} ms at a backoff of ${delayMs} ms.`,
        );
      }
      if (world.features.committedPositions) await world.commits(place, [2]);
    },
  },
];
