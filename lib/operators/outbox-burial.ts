import type { OperatorFunction } from 'rxjs';
import { DEFAULT_NACK, exponential, waitOf } from '../core/backoff.js';
import type { Delivery } from '../core/delivery.js';
import { DeliveryNode, type SettlementHook } from '../core/delivery-node.js';
import { environment } from '../core/environment.js';
import { classifyFailure } from '../core/failures.js';
import { groupCalls, type Grouped } from '../core/grouped-calls.js';
import { operate } from '../core/operate.js';
import type { OutboxMessage } from '../core/outbox-message.js';
import type { OutboxStore } from '../core/outbox-store.js';
import type { Partition } from '../core/partition.js';
import { messageInfo, notify } from '../core/telemetry.js';
import { errorText } from '../core/told-error.js';
import { headersOf, type OutboxPosition, type RelayRecord } from './outbox-shape.js';

interface Burial extends Grouped {
  readonly reason: unknown;
  error: string;
}

const MAX_BATCH = 500;
const MAX_ERROR_BYTES = 2_048;
const UNTOLD = 'The store did not take the text of the error.';
const outageWait = exponential(DEFAULT_NACK);

/**
 * Makes messages of rows on the way down. On the way up marks as dead what fails for good, or too often: it stays in the
 * outbox and blocks no other. `buried` tells the source that its ack marks nothing any more.
 * @internal
 */
export function relayed(
  store: OutboxStore,
  maxAttempts: number,
  buried: WeakSet<RelayRecord>,
): OperatorFunction<Delivery<Uint8Array | null, OutboxPosition>, Delivery<OutboxMessage, OutboxPosition>> {
  return operate((destination) => {
    const burials = groupCalls<Burial, boolean>({
      what: 'the outbox store',
      maxBatch: MAX_BATCH,
      call: (items) =>
        store.dead(
          items.map(({ delivery, error }) => {
            const { id, token } = recordOf(delivery).row;
            return { id, token, error };
          }),
        ),
      answer: ({ delivery, reason }, isDead) => {
        if (isDead !== true) {
          delivery.abandon();
          return;
        }
        buried.add(recordOf(delivery));
        const message = messageInfo(delivery);
        notify(delivery.epoch.session, { type: 'dead-lettered', message, reason, published: true });
        delivery.settle('dead-lettered');
      },
      culprit: (burial) => {
        if (burial.error !== UNTOLD) {
          burial.error = UNTOLD;
          return burial;
        }
        burial.delivery.abandon();
        return undefined;
      },
      giveUp: ({ delivery }) => delivery.abandon(),
    });

    const hook: SettlementHook = {
      answers: true,
      onAck: ({ up }, outcome) => (up as DeliveryNode).settle(outcome),
      onNack: (child, reason, delayMs) => {
        const delivery = child.up as DeliveryNode;
        const failure = classifyFailure(reason);
        const record = recordOf(delivery);
        if (failure === 'unavailable') {
          delivery.fail(reason, delayMs >= 0 ? delayMs : waitOf(outageWait, ++record.outages));
          return;
        }
        record.attempt++;
        const isOver = failure === 'permanent' || child.attempt >= maxAttempts;
        if (isOver && child.epoch.live) burials.add({ delivery, reason, error: errorText(reason, MAX_ERROR_BYTES) });
        else delivery.fail(reason, delayMs);
      },
      onAbandon: ({ up }) => (up as DeliveryNode).abandon(),
    };

    const drop = (partition: Partition): void => {
      for (const { delivery } of burials.extract((item) => item.delivery.epoch === partition)) delivery.abandon();
    };

    return {
      onRevoke: drop,
      onClose: drop,
      next: (delivery) => {
        // It waited for credit, and another relay may have it by now.
        if (recordOf(delivery).validUntil <= environment.now()) {
          delivery.abandon();
          return;
        }
        const message = messageOf(recordOf(delivery));
        destination.next(new DeliveryNode(message, delivery.attempt, delivery, hook, 0, delivery.epoch, null));
      },
      teardown: () => {
        for (const { delivery } of burials.close()) delivery.abandon();
      },
    };
  });
}

function recordOf(delivery: DeliveryNode): RelayRecord {
  return delivery.ref as RelayRecord;
}

function messageOf({ row }: RelayRecord): OutboxMessage {
  const { topic, key, value, partition, timestamp } = row;
  return {
    topic,
    key,
    value,
    headers: headersOf(row),
    ...(partition !== null && { partition }),
    ...(timestamp !== null && { timestamp }),
  };
}
