import {
  asyncScheduler,
  defer,
  finalize,
  map,
  NEVER,
  Observable,
  of,
  switchMap,
  tap,
  throwError,
  timer,
  type ObservableInput,
} from 'rxjs';
import type { Message } from '../../lib/core/message.js';
import type { Publisher, PublisherConnection, PublishOutcome } from '../../lib/core/publisher.js';

/** How a publisher answers a call; `call` counts from 0. */
export type PublishAnswer = (messages: readonly Message[], call: number) => ObservableInput<readonly PublishOutcome[]>;

export const OUTAGE = new Error('the publisher is out');
export const REFUSAL = new Error('the message is too large');
const MISHAP = new Error('the leader has moved');

export const confirms: PublishAnswer = (messages) => of(messages.map(() => ({ status: 'ok' as const })));
export const mishaps: PublishAnswer = (messages) =>
  of(messages.map(() => ({ status: 'transient' as const, error: MISHAP })));
export const refuses: PublishAnswer = (messages) =>
  of(messages.map(() => ({ status: 'permanent' as const, error: REFUSAL })));
export const isOut: PublishAnswer = () => throwError(() => OUTAGE);
export const neverAnswers: PublishAnswer = () => NEVER;
export const answersTooFew: PublishAnswer = () => of([]);
export const throwsAtOnce: PublishAnswer = () => {
  throw OUTAGE;
};

export const after =
  (ms: number, answer: PublishAnswer = confirms): PublishAnswer =>
  (messages, call) =>
    timer(ms).pipe(switchMap(() => answer(messages, call)));

/** One answer a call; the last one goes on. */
export const inTurn =
  (...answers: readonly PublishAnswer[]): PublishAnswer =>
  (messages, call) =>
    (answers[Math.min(call, answers.length - 1)] as PublishAnswer)(messages, call);

export const until =
  (ms: number, first: PublishAnswer, then: PublishAnswer = confirms): PublishAnswer =>
  (messages, call) =>
    (asyncScheduler.now() < ms ? first : then)(messages, call);

export interface FakePublisher extends Publisher {
  /** What was confirmed, in order. */
  readonly published: Message[];
  readonly calls: { readonly at: number; readonly messages: readonly Message[] }[];
  /** Connections that are open. */
  open: number;
  connects: number;
  /** Calls that are neither answered nor given up. */
  pending: number;
}

/** `connect` answers the connecting itself; each connection is counted until it is let go. */
export function fakePublisher(
  answer: PublishAnswer = confirms,
  connect: (attempt: number) => ObservableInput<unknown> = () => of(undefined),
): FakePublisher {
  const publish = (messages: readonly Message[]): Observable<readonly PublishOutcome[]> => {
    const call = fake.calls.push({ at: asyncScheduler.now(), messages }) - 1;
    const answers = defer(() => {
      fake.pending++;
      return answer(messages, call);
    });
    return answers.pipe(
      finalize(() => fake.pending--),
      tap((outcomes) => {
        outcomes.forEach(({ status }, index) => {
          if (status === 'ok') fake.published.push(messages[index] as Message);
        });
      }),
    );
  };
  const fake: FakePublisher = {
    published: [],
    calls: [],
    open: 0,
    connects: 0,
    pending: 0,
    connect: () =>
      new Observable<PublisherConnection>((subscriber) => {
        fake.open++;
        subscriber.add(() => fake.open--);
        subscriber.add(
          defer(() => connect(fake.connects++))
            .pipe(map(() => ({ publish })))
            // Stays open until it is let go: only what fails ends it.
            .subscribe({ next: (opened) => subscriber.next(opened), error: (error) => subscriber.error(error) }),
        );
      }),
  };
  return fake;
}
