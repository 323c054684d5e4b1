import { describe, expect, it } from '@jest/globals';
import { createAnswers } from '../../../lib/brokers/pubsub/pubsub-answers.js';

interface Status {
  readonly code: number;
  readonly metadata?: { get(name: string): readonly unknown[] };
}

/** What grpc-js hands to an interceptor, with calls that are answered by hand. */
function calls() {
  const answers = createAnswers();
  const said: string[] = [];
  const send = (rpc: string, name: string): ((status: Status) => void) => {
    let answer: (status: Status) => void = () => undefined;
    const call = answers({ method_definition: { path: `/google.pubsub.v1.Subscriber/${rpc}` } }, () => ({
      start: (_, listener) => {
        answer = (status) => listener?.onReceiveStatus?.(status);
      },
    }));
    call.start({}, { onReceiveStatus: ({ code }) => void said.push(`${name} ${code}`) });
    return (status) => answer(status);
  };
  return { send, said };
}

const OK: Status = { code: 0 };

const detailed = (code: number, text: string): Status => ({
  code,
  metadata: { get: (name) => (name === 'grpc-status-details-bin' ? [Buffer.from(text)] : []) },
});

describe('createAnswers', () => {
  it('tells answers of leases in the order of their requests', () => {
    const { send, said } = calls();
    const [first, second, third] = ['first', 'second', 'third'].map((name) => send('ModifyAckDeadline', name));
    second?.(OK);
    expect(said).toEqual([]);
    first?.({ code: 14 });
    expect(said).toEqual(['first 14', 'second 0']);
    third?.(OK);
    expect(said).toEqual(['first 14', 'second 0', 'third 0']);
  });

  it('has acks wait for nothing', () => {
    const { send, said } = calls();
    send('ModifyAckDeadline', 'lease');
    send('Acknowledge', 'first');
    send('Acknowledge', 'second')(OK);
    expect(said).toEqual(['second 0']);
  });

  it('takes the code from a refusal that names ids, and from no other', () => {
    const { send, said } = calls();
    send('Acknowledge', 'named')(detailed(9, 'ack-1 TRANSIENT_FAILURE_UNORDERED_ACK_ID'));
    send('Acknowledge', 'whole')(detailed(7, 'no permission'));
    send('ModifyAckDeadline', 'lease')(detailed(3, 'ack-2 PERMANENT_FAILURE_INVALID_ACK_ID'));
    expect(said).toEqual(['named NaN', 'whole 7', 'lease NaN']);
  });
});
