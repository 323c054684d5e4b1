import { protos } from '@google-cloud/pubsub';
import type { grpc } from 'google-gax';

const { v1 } = protos.google.pubsub;
const { Empty } = protos.google.protobuf;

/** A class of the client's own generated protocol. */
interface Codec<Decoded, Encodable> {
  decode(bytes: Uint8Array): Decoded;
  encode(message: Encodable): { finish(): Uint8Array };
}

interface Rpc<Request, Response> {
  readonly service: 'Publisher' | 'Subscriber';
  readonly request: Codec<Request, never>;
  readonly response: Codec<unknown, Response>;
}

function publisher<Request, Response>(
  request: Codec<Request, never>,
  response: Codec<unknown, Response>,
): Rpc<Request, Response> {
  return { service: 'Publisher', request, response };
}

function subscriber<Request, Response>(
  request: Codec<Request, never>,
  response: Codec<unknown, Response>,
): Rpc<Request, Response> {
  return { service: 'Subscriber', request, response };
}

/** The calls of one request and one answer; what is not here is answered by UNIMPLEMENTED. */
export const UNARY = {
  CreateTopic: publisher(v1.Topic, v1.Topic),
  GetTopic: publisher(v1.GetTopicRequest, v1.Topic),
  DeleteTopic: publisher(v1.DeleteTopicRequest, Empty),
  Publish: publisher(v1.PublishRequest, v1.PublishResponse),
  DetachSubscription: publisher(v1.DetachSubscriptionRequest, v1.DetachSubscriptionResponse),
  CreateSubscription: subscriber(v1.Subscription, v1.Subscription),
  GetSubscription: subscriber(v1.GetSubscriptionRequest, v1.Subscription),
  DeleteSubscription: subscriber(v1.DeleteSubscriptionRequest, Empty),
  Pull: subscriber(v1.PullRequest, v1.PullResponse),
  Acknowledge: subscriber(v1.AcknowledgeRequest, Empty),
  ModifyAckDeadline: subscriber(v1.ModifyAckDeadlineRequest, Empty),
};

/** The name of a call of one request and one answer. */
export type UnaryName = keyof typeof UNARY;

/** The name of a call that the fake answers. */
export type RpcName = UnaryName | 'StreamingPull';

export type RequestOf<Name extends UnaryName> =
  (typeof UNARY)[Name] extends Rpc<infer Request, never> ? Request : never;
export type ResponseOf<Name extends UnaryName> =
  (typeof UNARY)[Name] extends Rpc<unknown, infer Response> ? Response : never;

/** One stream, as the server sees it. */
export type PullCall = grpc.ServerDuplexStream<
  protos.google.pubsub.v1.StreamingPullRequest,
  protos.google.pubsub.v1.IStreamingPullResponse
>;

/** The two services, for a gRPC server. */
export function serviceDefinition(): grpc.ServiceDefinition {
  const unary = Object.entries(UNARY).map(([name, { service, request, response }]) => [
    name,
    methodOf(`/google.pubsub.v1.${service}/${name}`, false, request, response),
  ]);
  const path = '/google.pubsub.v1.Subscriber/StreamingPull';
  return {
    ...(Object.fromEntries(unary) as grpc.ServiceDefinition),
    StreamingPull: methodOf(path, true, v1.StreamingPullRequest, v1.StreamingPullResponse),
  };
}

function methodOf(
  path: string,
  streams: boolean,
  request: Codec<unknown, never>,
  response: Codec<unknown, never>,
): grpc.MethodDefinition<unknown, unknown> {
  const serialize =
    ({ encode }: Codec<unknown, never>) =>
    (message: unknown): Buffer =>
      encode(message as never).finish() as Buffer;
  return {
    path,
    requestStream: streams,
    responseStream: streams,
    requestSerialize: serialize(request),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: serialize(response),
    responseDeserialize: (bytes) => response.decode(bytes),
  };
}
