import { describe, expect, it, jest } from '@jest/globals';
import { asyncScheduler, from } from 'rxjs';
import type { PubSubRequest } from '../../../lib/brokers/pubsub/pubsub-client.js';
import { leasesToExtend, type PulledHandle } from '../../../lib/brokers/pubsub/pubsub-leases.js';
import { resolvePubSubOptions } from '../../../lib/brokers/pubsub/pubsub-options.js';
import { pullMessages } from '../../../lib/brokers/pubsub/pubsub-pull.js';
import { recordOf } from '../../../lib/brokers/pubsub/pubsub-record.js';
import type { QueueEngine } from '../../../lib/core/queue-engine.js';
import { virtually } from '../../core/harness.js';

const [DEADLINE_EXCEEDED, UNAVAILABLE] = [4, 14];

type Answer = (error: Error | null, response?: unknown) => void;

function pulling(
  request: (request: PubSubRequest, answer: Answer) => void,
  engine = {} as QueueEngine<never>,
  drainTimeoutMs = 10_000,
) {
  const name = 'projects/demo/subscriptions/s';
  const pubsub = { isOpen: true, subscription: () => ({}) as never, request };
  const options = resolvePubSubOptions({ name, pubsub }, { mode: 'pull', drainTimeoutMs });
  return pullMessages(engine, { name, pubsub }, 's', options, true, 10_000);
}

const record = (index: number) => {
  const handle: PulledHandle = { ackId: String(index), receivedAt: 0, halfAt: 5_000 };
  const message = { id: String(index), data: new Uint8Array(), attributes: {}, publishedAt: 0, orderingKey: 'a' };
  return recordOf({ ...message, deliveryAttempt: 0, handle }, 1, true);
};

describe('leasesToExtend', () => {
  it('takes those with less than half of their own lease left, the first or a longer one', () =>
    virtually(({ advance }) => {
      const [first, longer] = [record(1), record(2)];
      Object.assign(longer.handles[0] as PulledHandle, { halfAt: 30_000 });
      const due = () => leasesToExtend([first, longer], 3_600_000).map(({ ackId }) => ackId);
      advance(5_000);
      expect(due()).toEqual([]);
      advance(1);
      expect(due()).toEqual(['1']);
      advance(25_000);
      expect(due()).toEqual(['1', '2']);
    }));
});

describe('pullMessages', () => {
  it('looks at its leases by one timer, however long it reads', () =>
    virtually(({ advance, timers }) => {
      const source = pulling(() => undefined);
      const made = jest.spyOn(asyncScheduler, 'schedule');
      source.start();
      advance(600_000);
      // Another one asks where nothing comes.
      expect(made).toHaveBeenCalledTimes(2);
      made.mockRestore();
      source.leaving?.();
      from(source.close()).subscribe();
      advance(1);
      expect(timers()).toBe(0);
    }));

  it('waits no longer after each failure where messages are rare: one that nothing came to says that it was not refused', () =>
    virtually(({ advance, now }) => {
      let fails = false;
      let failedAt: number | null = null;
      const waits: number[] = [];
      const source = pulling(
        ({ method, gaxOpts }, answer) => {
          if (method !== 'pull') return;
          if (failedAt !== null) waits.push(Math.round(now() - failedAt));
          failedAt = fails ? now() : null;
          const { timeout } = gaxOpts as { readonly timeout: number };
          const error = Object.assign(new Error('no'), { code: fails ? UNAVAILABLE : DEADLINE_EXCEEDED });
          asyncScheduler.schedule(() => answer(error), fails ? 0 : timeout);
          fails = false;
        },
        { unavailable: () => undefined, recovered: () => undefined } as never,
      );
      source.start();
      for (let hour = 0; hour < 12; hour++) {
        advance(3_600_000);
        fails = true;
      }
      expect(waits).toEqual(waits.map(() => 100));
      expect(waits.length).toBe(11);
      source.leaving?.();
    }));

  it('gives back what goes back in its order, a call that is tried again included', () =>
    virtually(({ advance }) => {
      const back: string[] = [];
      let failures = 1;
      const source = pulling(({ method, reqOpts }, answer) => {
        if (method !== 'modifyAckDeadline') return;
        if (failures-- > 0) {
          answer(Object.assign(new Error('out'), { code: 14 }));
          return;
        }
        back.push(...(reqOpts as { readonly ackIds: string[] }).ackIds);
        answer(null);
      });
      const records = Array.from({ length: 4_500 }, (_, index) => record(index));
      for (const one of records) source.nack([one], true);
      advance(1_000);
      expect(back).toEqual(records.map(({ id }) => id));
    }));

  it.each([
    ['is let end, and what it brings goes back', 1_000, 10_000, 3_999, ['1', '2']],
    ['is cut off once it is five seconds old', 1_000, 10_000, 4_000, []],
    ['that waits for a first message is cut off at once', 20_000, 10_000, 1, []],
    ['is cut off before the drain is over', 1_000, 1_000, 901, []],
  ])('at a stop a pull under way %s', (_, ageMs, drainTimeoutMs, answersAfterMs, givenBack) =>
    virtually(({ advance, timers }) => {
      const back: string[] = [];
      let answerPull: Answer | null = null;
      const engine = {
        // As the engine does after a stop.
        push: (records: readonly { readonly id: string }[]) => source.nack(records as never, false),
      };
      const request = ({ method, reqOpts }: PubSubRequest, answer: Answer): void => {
        if (method === 'pull') answerPull = answer;
        if (method !== 'modifyAckDeadline') return;
        back.push(...(reqOpts as { readonly ackIds: string[] }).ackIds);
        answer(null);
      };
      const source = pulling(request, engine as never, drainTimeoutMs);
      source.start();
      advance(ageMs);
      let isClosed = false;
      source.leaving?.();
      from(source.close()).subscribe({ complete: () => (isClosed = true) });
      asyncScheduler.schedule(
        () =>
          answerPull?.(null, {
            receivedMessages: ['1', '2'].map((ackId) => ({ ackId, message: { messageId: ackId } })),
          }),
        answersAfterMs,
      );
      advance(answersAfterMs + 1);
      expect([isClosed, back, timers()]).toEqual([true, givenBack, 0]);
    }),
  );
});
