import {
  catchError,
  defaultIfEmpty,
  defer,
  finalize,
  forkJoin,
  last,
  map,
  Observable,
  of,
  ReplaySubject,
  share,
} from 'rxjs';
import { giveUpOn } from '../core/at-once.js';
import { SluiceError } from '../core/errors.js';
import { kindOf } from '../core/kind-of.js';
import type { Message } from '../core/message.js';
import { checkNames, checkOptions } from '../core/options.js';
import type { OutboxMessage } from '../core/outbox-message.js';
import type { Publisher, PublisherConnection, PublishOutcome } from '../core/publisher.js';
import { isOfTopic, isPublisher, linkPublisher, type PublisherLink } from './publisher-link.js';

/** What `topicPublisher` takes. @public */
export interface TopicPublisherOptions {
  /**
   * How many topics may be open at once; the one that was used least recently is closed for another. A whole number, at least 1.
   * Default: 100.
   */
  readonly maxTopics?: number;
}

interface Topic {
  readonly link: PublisherLink<Message>;
  /** Calls that are under way. */
  calls: number;
}

type Answer = readonly PublishOutcome[] | { readonly error: unknown };

const OWNER = 'topicPublisher';

/**
 * Publishes each message by the publisher of its topic, which is opened when a message needs it.
 *
 * ```ts
 * fromOutbox(store).pipe(publishTo(topicPublisher((topic) => kafkaPublisher(kafka, { topic }))), ackEach())
 * ```
 *
 * A topic that does not exist or refuses us fails its own messages, as transient, and no others. The call errors, so that
 * everything waits, only where none of its topics can be reached.
 * @public
 */
export function topicPublisher(
  publisherOf: (topic: string) => Publisher<Message>,
  options: TopicPublisherOptions = {},
): Publisher<OutboxMessage> {
  checkNames(OWNER, options, ['maxTopics']);
  const { maxTopics = 100 } = options;
  checkOptions(
    OWNER,
    { publisherOf, maxTopics },
    { publisherOf: { required: true, type: 'function' }, maxTopics: { integer: true, min: 1 } },
  );

  const connections = new Observable<PublisherConnection<OutboxMessage>>((subscriber) => {
    // By their last use.
    const topics = new Map<string, Topic>();

    const makeRoom = (): void => {
      if (topics.size < maxTopics) return;
      const [idle] = [...topics].find(([, { calls }]) => calls === 0) ?? [];
      if (idle === undefined) throw tooMany(maxTopics);
      topics.get(idle)?.link.close();
      topics.delete(idle);
    };

    const open = (name: string): Topic => {
      let topic = topics.get(name);
      if (topic === undefined) {
        makeRoom();
        const publisher: unknown = publisherOf(name);
        if (!isPublisher(publisher)) throw noPublisher(name, publisher);
        topic = { link: linkPublisher(publisher as Publisher<Message>), calls: 0 };
      }
      topics.delete(name);
      topics.set(name, topic);
      return topic;
    };

    const publishTo = (name: string, messages: readonly Message[]): Observable<Answer> =>
      defer(() => {
        const topic = open(name);
        topic.calls++;
        return topic.link.publish(messages).pipe(finalize(() => topic.calls--));
      }).pipe(
        last(undefined, []),
        catchError((error: unknown) => of({ error })),
      );

    subscriber.next({
      publish: (messages) => {
        if (messages.length === 0) return of([]);
        const indexes = new Map<string, number[]>();
        const refused = new Map<number, PublishOutcome>();
        messages.forEach((message, index) => {
          const topic = topicOf(message);
          if (topic === null) refused.set(index, { status: 'permanent', error: noTopic() });
          else if (indexes.has(topic)) indexes.get(topic)?.push(index);
          else indexes.set(topic, [index]);
        });
        const calls = [...indexes].map(([name, its]) =>
          publishTo(
            name,
            its.map((index) => messages[index] as OutboxMessage),
          ),
        );
        return forkJoin(calls).pipe(
          defaultIfEmpty([]),
          map((answers) => outcomesOf([...indexes.values()], answers, messages.length)),
          map((outcomes) => Array.from(outcomes, (outcome, index) => refused.get(index) ?? outcome)),
        );
      },
    });
    return () => {
      for (const { link } of topics.values()) link.close();
    };
  }).pipe(share({ connector: () => new ReplaySubject(1) }));
  return { connect: () => connections };
}

function outcomesOf(
  indexes: readonly (readonly number[])[],
  answers: readonly Answer[],
  count: number,
): readonly PublishOutcome[] {
  const failures = answers.flatMap((answer) => ('error' in answer ? [answer] : []));
  const outage = failures.find(({ error }) => !isOfTopic(error));
  if (outage !== undefined && failures.length === answers.length) throw outOfReach(outage.error);
  const outcomes = new Array<PublishOutcome>(count);
  answers.forEach((answer, nth) =>
    indexes[nth]?.forEach((index, place) => {
      const outcome = 'error' in answer ? failed(answer.error) : answer[place];
      outcomes[index] = outcome ?? failed(new SluiceError('publish-failed', `${OWNER}: no outcome was given.`));
    }),
  );
  return outcomes;
}

// The value that it reads may be anything, and must not fail the call of others.
function topicOf(message: OutboxMessage): string | null {
  try {
    const { topic } = message as Partial<OutboxMessage>;
    return typeof topic === 'string' ? topic : null;
  } catch {
    return null;
  }
}

function noTopic(): SluiceError {
  return new SluiceError('publish-failed', `${OWNER}: a message must say its topic, as text.`);
}

function noPublisher(topic: string, made: unknown): SluiceError {
  giveUpOn(made);
  const text = `${OWNER}: the function must give a publisher, with connect(), for ${topic}, not ${kindOf(made)}.`;
  return new SluiceError('invalid-options', text, { details: { owner: OWNER, topic } });
}

function outOfReach(cause: unknown): SluiceError {
  return new SluiceError('publish-failed', `${OWNER}: none of the topics can be reached. The cause says why.`, {
    cause,
  });
}

function failed(error: unknown): PublishOutcome {
  return { status: 'transient', error };
}

function tooMany(maxTopics: number): SluiceError {
  return new SluiceError('publish-failed', `${OWNER}: more than maxTopics = ${maxTopics} topics are in use at once.`, {
    details: { maxTopics },
  });
}
