import type { grpc } from 'google-gax';
import { checkAckIds, checkMessages } from './limits.js';
import type { RequestOf, ResponseOf, UnaryName } from './rpcs.js';
import { FakeStatusError, refusal } from './status.js';
import type { Store } from './store.js';
import { throwIfRefused } from './subscription.js';

/** What can be seen of a call while it is answered. */
export type Cancellable = Pick<grpc.ServerUnaryCall<unknown, unknown>, 'on'>;

type Handlers = {
  readonly [Name in UnaryName]: (
    request: RequestOf<Name>,
    call: Cancellable,
  ) => ResponseOf<Name> | Promise<ResponseOf<Name>>;
};

const MAX_PULL_MESSAGES = 1_000;
const MAX_DEADLINE_SECONDS = 600;

/** The answers to the unary calls; one that is refused throws. */
export function handlers(store: Store): Handlers {
  return {
    CreateTopic: (request) => store.createTopic(request),
    GetTopic: ({ topic }) => store.topic(topic).config,
    DeleteTopic: ({ topic }) => {
      store.deleteTopic(topic);
      return {};
    },
    Publish: ({ topic, messages }) => {
      checkMessages(messages);
      return { messageIds: store.publish(topic, messages) };
    },
    DetachSubscription: ({ subscription }) => {
      store.detach(subscription);
      return {};
    },
    CreateSubscription: (request) => store.createSubscription(request),
    GetSubscription: ({ subscription }) => store.row(subscription).config,
    DeleteSubscription: ({ subscription }) => {
      store.deleteSubscription(subscription);
      return {};
    },
    Pull: ({ subscription, maxMessages, returnImmediately }, call) => {
      const { dispatcher } = store.attached(subscription);
      if (maxMessages <= 0) throw refusal('INVALID_ARGUMENT', 'A pull asks for one message or more.');
      return new Promise((resolve, reject) => {
        const end = dispatcher.wait({
          maxMessages: Math.min(maxMessages, MAX_PULL_MESSAGES),
          isPatient: !returnImmediately,
          answer: (receivedMessages) => resolve({ receivedMessages: [...receivedMessages] }),
          refuse: (status) => reject(new FakeStatusError(status)),
        });
        call.on('cancelled', end);
      });
    },
    Acknowledge: ({ subscription, ackIds }) => {
      checkAckIds(ackIds);
      throwIfRefused(store.attached(subscription).subscription.acknowledge(ackIds));
      return {};
    },
    ModifyAckDeadline: ({ subscription, ackIds, ackDeadlineSeconds }) => {
      checkAckIds(ackIds);
      if (ackDeadlineSeconds < 0 || ackDeadlineSeconds > MAX_DEADLINE_SECONDS) {
        throw refusal('INVALID_ARGUMENT', `An ack deadline is 0 to 600 seconds, not ${ackDeadlineSeconds}.`);
      }
      throwIfRefused(store.attached(subscription).subscription.modifyDeadline(ackIds, ackDeadlineSeconds));
      return {};
    },
  };
}
