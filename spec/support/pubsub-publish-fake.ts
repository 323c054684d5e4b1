import { asyncScheduler, defer, finalize, map, NEVER, of, throwError, timer, type Observable } from 'rxjs';
import type {
  PubSubCallOptions,
  PubSubMessageLike,
  PubSubPublisherClientLike,
} from '../../lib/brokers/pubsub/pubsub-publisher-client.js';

export interface PublishedMessage {
  readonly key: string | null;
  readonly value: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What a request as a whole comes to; it may have been stored all the same. */
export type Verdict = { readonly error: unknown; readonly stored?: boolean } | 'never' | null;

/**
 * The worst that the service may do to a request, in virtual time: it stores it as a whole halfway to its answer, or fails it,
 * stored or not. It refuses, as the service does, what is against its limits, and remembers that it had to.
 */
export interface PublishFake {
  readonly pubsub: PubSubPublisherClientLike & { isOpen: boolean };
  readonly requests: {
    readonly at: number;
    readonly topic: string;
    readonly options: PubSubCallOptions;
    readonly messages: readonly PublishedMessage[];
  }[];
  /** In the order in which they were stored. */
  readonly stored: (PublishedMessage & { readonly messageId: string })[];
  readonly calls: { readonly looks: number; readonly underWay: number; readonly most: number };
  /** What no request may have: two keys, too many messages or bytes, a message without data and attributes. */
  readonly violations: string[];
  /** Between a request and its answer. */
  latencyMs: () => number;
  fail: (messages: readonly PublishedMessage[], request: number) => Verdict;
  /** A message for which its whole request is refused. */
  refuse: (message: PublishedMessage) => boolean;
  /** What the answer says of the ids. */
  ids: (ids: readonly string[]) => readonly string[];
  /** What a look at the topic fails with, or null. */
  failLook: (look: number) => Verdict;
  /** What the client cannot begin for. */
  failOpen: Error | null;
}

const NAMES: Readonly<Record<number, string>> = {
  3: 'INVALID_ARGUMENT',
  4: 'DEADLINE_EXCEEDED',
  5: 'NOT_FOUND',
  7: 'PERMISSION_DENIED',
  8: 'RESOURCE_EXHAUSTED',
  14: 'UNAVAILABLE',
};

/** An error as the client gives it: its message says what nobody is to see. */
export function grpcError(code: number): Error {
  const details = 'the message of the service';
  return Object.assign(new Error(`${code} ${NAMES[code] ?? 'WORD'}: ${details}`), { code, details });
}

export function publishFake(): PublishFake {
  const calls = { looks: 0, underWay: 0, most: 0 };

  const look = (): Observable<unknown> =>
    defer(() => {
      const verdict = fake.failLook(calls.looks++);
      if (verdict === 'never') return NEVER;
      return verdict === null ? of([{}]) : throwError(() => verdict.error);
    });

  const publish = (
    { topic, messages }: { topic: string; messages: readonly PubSubMessageLike[] },
    options: PubSubCallOptions,
  ): Observable<unknown> =>
    defer(() => {
      const published = messages.map(({ data, attributes = {}, orderingKey = null }) => ({
        key: orderingKey,
        value: new TextDecoder().decode(data),
        attributes,
      }));
      fake.violations.push(...violationsOf(messages));
      const request = fake.requests.push({ at: asyncScheduler.now(), topic, options, messages: published }) - 1;
      const verdict = published.some(fake.refuse) ? { error: grpcError(3) } : fake.fail(published, request);
      calls.most = Math.max(calls.most, ++calls.underWay);
      if (verdict === 'never') return NEVER;
      const latencyMs = fake.latencyMs();
      const messageIds: string[] = [];
      const storing = timer(latencyMs / 2).subscribe(() => {
        if (verdict !== null && verdict.stored !== true) return;
        for (const message of published) {
          const messageId = String(fake.stored.length + 1);
          fake.stored.push({ ...message, messageId });
          messageIds.push(messageId);
        }
      });
      return timer(latencyMs).pipe(
        map(() => {
          if (verdict !== null) throw verdict.error;
          return [{ messageIds: fake.ids(messageIds) }];
        }),
        finalize(() => storing.unsubscribe()),
      );
    }).pipe(finalize(() => calls.underWay--));

  const service = {
    initialize: () => defer(() => (fake.failOpen === null ? of({}) : throwError(() => fake.failOpen))),
    getTopic: look,
    publish,
  };
  const fake: PublishFake = {
    pubsub: { projectId: 'shop', isOpen: true, getClientAsync_: () => of(service) as never },
    requests: [],
    stored: [],
    calls,
    violations: [],
    latencyMs: () => 10,
    fail: () => null,
    refuse: () => false,
    ids: (ids) => ids,
    failLook: () => null,
    failOpen: null,
  };
  return fake;
}

function violationsOf(messages: readonly PubSubMessageLike[]): string[] {
  const bytes = messages.reduce((sum, message) => sum + leastBytes(message), 0);
  return [
    ...(messages.length === 0 || messages.length > 1_000 ? [`${messages.length} messages`] : []),
    ...(bytes > 10_000_000 ? [`${bytes} bytes`] : []),
    ...(new Set(messages.map(({ orderingKey }) => orderingKey)).size > 1 ? ['two keys'] : []),
    ...messages.flatMap(({ data, attributes }) => (data === undefined && attributes === undefined ? ['empty'] : [])),
  ];
}

function leastBytes({ data, attributes = {}, orderingKey = '' }: PubSubMessageLike): number {
  const texts = [orderingKey, ...Object.entries(attributes).flat()];
  return (data?.length ?? 0) + Buffer.byteLength(texts.join(''));
}
