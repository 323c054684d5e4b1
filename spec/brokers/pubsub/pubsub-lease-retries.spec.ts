import { describe, expect, it } from '@jest/globals';
import type { PubSubCall, PubSubCallStatus } from '../../../lib/brokers/pubsub/pubsub-interceptor.js';
import { createLeaseRetries } from '../../../lib/brokers/pubsub/pubsub-lease-retries.js';
import { createSlowCalls } from '../../../lib/brokers/pubsub/pubsub-slow-calls.js';
import { virtually } from '../../core/harness.js';

const OK = 0;
const INVALID_ARGUMENT = 3;
const DEADLINE_EXCEEDED = 4;
const UNAVAILABLE = 14;

const refusal = (text: string): PubSubCallStatus => ({
  code: INVALID_ARGUMENT,
  metadata: { get: (name) => (name === 'grpc-status-details-bin' ? [Buffer.from(text)] : []) },
});

/** One call of grpc-js through the interceptor; `statuses` answer its tries. */
function callOf(rpc: string, statuses: readonly (PubSubCallStatus | 'closed')[], patienceMs = 10_000) {
  const retries = createLeaseRetries(patienceMs, createSlowCalls());
  const sent: unknown[] = [];
  const told: unknown[] = [];
  const next = (): PubSubCall => {
    const status = statuses[sent.length] ?? { code: UNAVAILABLE };
    if (status === 'closed') throw new Error('Channel has been shut down');
    let answer = (): void => undefined;
    const call: PubSubCall = {
      start: (_, listener) => {
        answer = () => {
          listener?.onReceiveMessage?.(status.code === OK ? 'answer' : null);
          listener?.onReceiveStatus?.(status);
        };
      },
      sendMessageWithContext: (_, message) => void sent.push(message),
      sendMessage: (message) => call.sendMessageWithContext?.({}, message),
      halfClose: () => answer(),
    };
    return call;
  };
  const call = retries.interceptor({ method_definition: { path: `/google.pubsub.v1.Subscriber/${rpc}` } }, next);
  call.start('metadata', {
    onReceiveMessage: (message) => void told.push(message),
    onReceiveStatus: ({ code }) => void told.push(code),
  });
  call.sendMessage?.('request');
  call.halfClose?.();
  return { sent, told, end: retries.end };
}

describe('createLeaseRetries', () => {
  it('sends the same request until it goes well, and tells of that alone', () =>
    virtually(({ advance, timers }) => {
      const transient = refusal('ack-1 TRANSIENT_FAILURE_SERVICE_UNAVAILABLE');
      const { sent, told } = callOf('ModifyAckDeadline', [{ code: UNAVAILABLE }, transient, { code: OK }]);
      expect(told).toEqual([]);
      advance(1_000);
      expect([sent, told, timers()]).toEqual([['request', 'request', 'request'], ['answer', OK], 0]);
    }));

  it.each([
    ['an ack', 'Acknowledge', { code: UNAVAILABLE }],
    ['what is over', 'ModifyAckDeadline', { code: DEADLINE_EXCEEDED }],
    ['what is refused for good', 'ModifyAckDeadline', refusal('ack-1 PERMANENT_FAILURE_INVALID_ACK_ID')],
  ])('leaves %s to the client', (_, rpc, status) =>
    virtually(({ timers }) => {
      const { sent, told } = callOf(rpc, [status]);
      expect([sent, told, timers()]).toEqual([['request'], [null, status.code], 0]);
    }),
  );

  it('gives up after its patience, where the channel is closed, and once it was ended', () =>
    virtually(({ advance, timers }) => {
      const patient = callOf('ModifyAckDeadline', [], 10_000);
      const closed = callOf('ModifyAckDeadline', [{ code: UNAVAILABLE }, 'closed']);
      const ended = callOf('ModifyAckDeadline', []);
      ended.end();
      advance(9_000);
      expect([patient.told, closed.told, ended.sent]).toEqual([[], [null, UNAVAILABLE], ['request']]);
      advance(6_000);
      expect([patient.told, timers()]).toEqual([[null, UNAVAILABLE], 0]);
    }));
});
