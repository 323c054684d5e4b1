import { defer, Observable } from 'rxjs';
import type { Message } from '../core/message.js';
import type { Publisher, PublishOutcome } from '../core/publisher.js';

/** A publisher in this process that keeps what it takes, and fails on demand. @internal */
export interface ScriptedPublisher extends Publisher<Message> {
  readonly published: readonly Message[];
  readonly calls: number;
  /** `out`: the whole call fails; the others are outcomes of each message. */
  answer: 'ok' | 'transient' | 'permanent' | 'out';
}

/** @internal */
export function scriptedPublisher(): ScriptedPublisher {
  const published: Message[] = [];
  let calls = 0;
  const publish = (messages: readonly Message[]): Observable<PublishOutcome[]> =>
    defer(() => {
      calls++;
      const { answer } = publisher;
      if (answer === 'out') throw new Error('the publisher is out');
      if (answer === 'ok') published.push(...messages);
      const outcome: PublishOutcome =
        answer === 'ok' ? { status: 'ok' } : { status: answer, error: new Error(`a ${answer} refusal`) };
      return [messages.map(() => outcome)];
    });
  const publisher: ScriptedPublisher = {
    published,
    get calls() {
      return calls;
    },
    answer: 'ok',
    connect: () => new Observable((subscriber) => subscriber.next({ publish })),
  };
  return publisher;
}
