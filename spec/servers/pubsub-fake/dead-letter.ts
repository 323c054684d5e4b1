import type { Entry, PubsubMessage } from './entry.js';
import type { SubscriptionConfig } from './subscription.js';

const DEFAULT_ATTEMPTS = 5;

/** How often a message is delivered before it is forwarded; for ever where no policy says so. */
export function maxDeliveryAttempts({ deadLetterPolicy }: SubscriptionConfig): number {
  if (!deadLetterPolicy?.deadLetterTopic) return Infinity;
  const { maxDeliveryAttempts: attempts } = deadLetterPolicy;
  return attempts ? attempts : DEFAULT_ATTEMPTS;
}

export function deadLetterTopic({ deadLetterPolicy }: SubscriptionConfig): string {
  return deadLetterPolicy?.deadLetterTopic ?? '';
}

/** The message, as the service forwards it: a new one, with where it came from. */
export function deadLetter({ name }: SubscriptionConfig, { message, failures }: Entry): PubsubMessage {
  const [, project = '', , subscription = ''] = (name ?? '').split('/');
  const published = Number(message.publishTime?.seconds ?? 0) * 1_000 + (message.publishTime?.nanos ?? 0) / 1e6;
  return {
    data: message.data ?? null,
    orderingKey: message.orderingKey ?? null,
    attributes: {
      ...message.attributes,
      CloudPubSubDeadLetterSourceDeliveryCount: String(failures),
      CloudPubSubDeadLetterSourceSubscription: subscription,
      CloudPubSubDeadLetterSourceSubscriptionProject: project,
      CloudPubSubDeadLetterSourceTopicPublishTime: new Date(published).toISOString(),
    },
  };
}
