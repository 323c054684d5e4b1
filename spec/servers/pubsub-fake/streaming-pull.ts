import type { protos } from '@google-cloud/pubsub';
import type { Dispatcher, OpenStream } from './dispatcher.js';
import type { PullCall } from './rpcs.js';
import { FakeStatusError, refusal, type FakeStatus } from './status.js';
import type { AckOutcome, FakeSubscription } from './subscription.js';

type Request = protos.google.pubsub.v1.StreamingPullRequest;

/** What a stream is opened on. */
export interface StreamTarget {
  readonly subscription: FakeSubscription;
  readonly dispatcher: Dispatcher;
}

const MIN_DEADLINE_SECONDS = 10;
const MAX_DEADLINE_SECONDS = 600;

/** Answers a stream from its first request on; `find` throws what refuses it. */
export function answerStream(call: PullCall, find: (name: string) => StreamTarget): void {
  let opened: { readonly target: StreamTarget; readonly stream: OpenStream; close(): void } | undefined;
  let ended = false;

  const close = (): void => {
    opened?.close();
    opened = undefined;
  };
  const end = (status: FakeStatus): void => {
    if (ended) return;
    ended = true;
    close();
    call.emit('error', status);
  };
  const first = (request: Request): void => {
    if (!request.subscription) throw refusal('INVALID_ARGUMENT', 'The first request must name a subscription.');
    const deadlineSeconds = deadlineOf(request);
    const target = find(request.subscription);
    const stream: OpenStream = {
      taker: { messages: 0, bytes: 0 },
      maxMessages: boundOf(request.maxOutstandingMessages),
      maxBytes: boundOf(request.maxOutstandingBytes),
      deadlineSeconds,
      send: (response, sent) => void call.write(response, sent),
      end,
    };
    opened = { target, stream, close: target.dispatcher.open(stream) };
  };
  const later = (request: Request, { target, stream }: { target: StreamTarget; stream: OpenStream }): void => {
    if (request.subscription) {
      throw refusal('INVALID_ARGUMENT', 'The subscription can only be set on the first request of a stream.');
    }
    if (Number(request.maxOutstandingMessages) !== 0 || Number(request.maxOutstandingBytes) !== 0) {
      throw refusal('INVALID_ARGUMENT', 'Flow control can only be set on the first request of a stream.');
    }
    if (request.streamAckDeadlineSeconds !== 0) stream.deadlineSeconds = deadlineOf(request);
    settle(call, request, target.subscription);
  };

  call.on('data', (request: Request) => {
    if (ended) return;
    try {
      if (opened === undefined) first(request);
      else later(request, opened);
    } catch (error) {
      end(error instanceof FakeStatusError ? error.status : { code: 13, details: String(error) });
    }
  });
  call.on('end', () => {
    if (!ended) call.end();
    ended = true;
    close();
  });
  for (const event of ['cancelled', 'close', 'error']) {
    call.on(event, () => {
      ended = true;
      close();
    });
  }
}

/** None where it is not positive. */
function boundOf(bound: Request['maxOutstandingMessages']): number {
  return Number(bound) > 0 ? Number(bound) : Infinity;
}

function deadlineOf({ streamAckDeadlineSeconds: seconds }: Request): number {
  if (seconds >= MIN_DEADLINE_SECONDS && seconds <= MAX_DEADLINE_SECONDS) return seconds;
  throw refusal('INVALID_ARGUMENT', `The ack deadline of a stream is 10 to 600 seconds, not ${seconds}.`);
}

/** Acks and deadlines that come on the stream; the newer clients send them by calls of their own. */
function settle(call: PullCall, request: Request, subscription: FakeSubscription): void {
  const { ackIds, modifyDeadlineAckIds, modifyDeadlineSeconds } = request;
  if (modifyDeadlineAckIds.length !== modifyDeadlineSeconds.length) {
    throw refusal('INVALID_ARGUMENT', 'The lists of ack ids and of deadlines differ in length.');
  }
  if (ackIds.length > 0) {
    const outcome = subscription.acknowledge(ackIds);
    if (subscription.config.enableExactlyOnceDelivery) {
      call.write({ acknowledgeConfirmation: { ackIds: without(ackIds, outcome), ...confirmed(outcome) } });
    }
  }
  if (modifyDeadlineAckIds.length > 0) {
    const outcome: AckOutcome = new Map();
    modifyDeadlineAckIds.forEach((ackId, index) => {
      const seconds = modifyDeadlineSeconds[index] ?? 0;
      for (const [refused, reason] of subscription.modifyDeadline([ackId], seconds)) outcome.set(refused, reason);
    });
    if (subscription.config.enableExactlyOnceDelivery) {
      const ids = without(modifyDeadlineAckIds, outcome);
      call.write({ modifyAckDeadlineConfirmation: { ackIds: ids, invalidAckIds: [...outcome.keys()] } });
    }
  }
}

function without(ackIds: readonly string[], refused: AckOutcome): string[] {
  return ackIds.filter((ackId) => !refused.has(ackId));
}

function confirmed(refused: AckOutcome): { invalidAckIds: string[]; unorderedAckIds: string[] } {
  const of = (start: string): string[] =>
    [...refused].filter(([, reason]) => reason.startsWith(start)).map(([ackId]) => ackId);
  return { invalidAckIds: of('PERMANENT'), unorderedAckIds: of('TRANSIENT') };
}
