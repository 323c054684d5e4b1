import { grpc, protobufMinimal } from 'google-gax';

/** How a call ends that does not succeed. */
export interface FakeStatus {
  readonly code: grpc.status;
  readonly details: string;
  readonly metadata?: grpc.Metadata;
}

/** What the service says of single acks: an ErrorInfo, whose metadata has the reasons by ack id. */
export interface AckFailures {
  readonly reason: string;
  readonly byAckId: ReadonlyMap<string, string>;
}

/** Ends a call where it is thrown. */
export class FakeStatusError extends Error {
  constructor(readonly status: FakeStatus) {
    super(status.details);
  }
}

/** A refusal, thrown where a request is refused. */
export function refusal(code: keyof typeof grpc.status, details: string): FakeStatusError {
  return new FakeStatusError({ code: grpc.status[code], details });
}

/** A refusal that names ack ids. */
export function ackRefusal(code: grpc.status, details: string, failures: AckFailures): FakeStatusError {
  const metadata = new grpc.Metadata();
  metadata.set('grpc-status-details-bin', statusWith(code, details, failures));
  return new FakeStatusError({ code, details, metadata });
}

export function notFound(name: string): FakeStatusError {
  return refusal('NOT_FOUND', `Resource not found (resource=${name.split('/').at(-1)}).`);
}

/** google.rpc.Status around google.rpc.Any around google.rpc.ErrorInfo; the client's protocol has none of them. */
function statusWith(code: number, message: string, { reason, byAckId }: AckFailures): Buffer {
  const info = protobufMinimal.Writer.create().uint32(10).string(reason).uint32(18).string('pubsub.googleapis.com');
  for (const [ackId, failure] of byAckId)
    info.uint32(26).fork().uint32(10).string(ackId).uint32(18).string(failure).ldelim();
  const any = protobufMinimal.Writer.create();
  any.uint32(10).string('type.googleapis.com/google.rpc.ErrorInfo').uint32(18).bytes(info.finish());
  const status = protobufMinimal.Writer.create().uint32(8).int32(code).uint32(18).string(message);
  return Buffer.from(status.uint32(26).bytes(any.finish()).finish());
}
