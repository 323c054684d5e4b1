import { once } from 'node:events';
import { v1, type protos } from '@google-cloud/pubsub';
import { grpc } from 'google-gax';

type Request = protos.google.pubsub.v1.IStreamingPullRequest;
type Response = protos.google.pubsub.v1.IStreamingPullResponse;

/** A StreamingPull without the client's leases and acks around it. */
export interface RawStream {
  /** What has come, in order. */
  readonly messages: { readonly ackId: string; readonly id: string; readonly data: string; readonly attempt: number }[];
  readonly responses: Response[];
  /** Resolves with the status when the stream has ended. */
  readonly ended: Promise<{ readonly code: number; readonly details: string }>;
  write(request: Request): void;
  /** Stops and starts the reading. */
  pause(): void;
  resume(): void;
  close(): Promise<void>;
}

/** Opens a stream on a subscription, by its short name. */
export function rawStream(endpoint: string, subscription: string, first: Request = {}): RawStream {
  const [servicePath = '', port = ''] = endpoint.split(':');
  const sslCreds = grpc.credentials.createInsecure();
  const client = new v1.SubscriberClient({ servicePath, port: Number(port), sslCreds, projectId: 'demo' });
  const stream = client.streamingPull();
  const messages: RawStream['messages'] = [];
  const responses: Response[] = [];

  stream.on('data', (response: Response) => {
    responses.push(response);
    for (const { ackId, message, deliveryAttempt } of response.receivedMessages ?? []) {
      const data = Buffer.from(message?.data as Uint8Array).toString();
      messages.push({ ackId: ackId ?? '', id: message?.messageId ?? '', data, attempt: deliveryAttempt ?? 0 });
    }
  });
  const ended = once(stream, 'status').then(([status]) => status as { code: number; details: string });
  stream.on('error', () => undefined);
  const name = `projects/demo/subscriptions/${subscription}`;
  stream.write({ subscription: name, streamAckDeadlineSeconds: 10, ...first });
  return {
    messages,
    responses,
    ended,
    write: (request) => void stream.write(request),
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    close: async () => {
      stream.cancel();
      await client.close();
    },
  };
}
