import { catchError, concatMap, defer, map, of, share, tap, throwError, timer, type Observable } from 'rxjs';
import { exponential } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import { isSluiceError, SluiceError } from '../../core/errors.js';
import { callKinesis } from './kinesis-call.js';
import type { KinesisClientLike, KinesisConsumerLike } from './kinesis-client.js';
import { GONE, IN_USE, isDenied, isNamed } from './kinesis-errors.js';

/** A client that has what fan-out needs. @internal */
export type FanOutClient = KinesisClientLike &
  Required<Pick<KinesisClientLike, 'registerStreamConsumer' | 'describeStreamConsumer' | 'subscribeToShard'>>;

/** @internal */
export interface ConsumerOptions {
  readonly client: FanOutClient;
  /** The source, as errors name it. */
  readonly owner: string;
  readonly stream: string;
  readonly streamArn: () => string;
  /** By its name, registered where there is none; or as it is. */
  readonly fanOut: { readonly consumerName: string } | { readonly consumerArn: string };
  readonly requestTimeoutMs: number;
}

/**
 * The registered consumer that all shards of a source are subscribed to with. What cannot pass fails as a `SluiceError`,
 * the rest as the client said it.
 * @internal
 */
export interface FanOutConsumer {
  /** Its ARN, once it may be used; registered where there was none. */
  arn(): Observable<string>;
  /** Kinesis has not found it, or the shard: emits whether there is another one now. */
  isReplaced(arn: string): Observable<boolean>;
}

// The service makes one within seconds, and five of a stream at a time.
const ACTIVE_TIMEOUT_MS = 60_000;
// Its own word for a stream that has all the consumers it may have, and for too many calls.
const LIMIT = 'LimitExceededException';
const NEEDED = 'kinesis:DescribeStreamConsumer, kinesis:RegisterStreamConsumer and kinesis:SubscribeToShard';

/** @internal */
export function createConsumer(options: ConsumerOptions): FanOutConsumer {
  const { client, owner, stream, streamArn, fanOut, requestTimeoutMs } = options;
  const given = 'consumerArn' in fanOut ? fanOut.consumerArn : null;
  const ConsumerName = 'consumerName' in fanOut ? fanOut.consumerName : '';
  const backoff = exponential({ initialMs: 500, maxMs: 5_000 });
  let known = given;

  const error = (code: 'source-failed' | 'not-authorized', text: string, cause: unknown): SluiceError =>
    new SluiceError(code, `${owner} (stream ${stream}): ${text}`, {
      cause,
      details: { owner, stream, consumer: given ?? ConsumerName },
    });

  const describe = (): Observable<KinesisConsumerLike | undefined> =>
    callKinesis(requestTimeoutMs, (how) =>
      client.describeStreamConsumer(
        given === null ? { StreamARN: streamArn(), ConsumerName } : { ConsumerARN: given },
        how,
      ),
    ).pipe(map(({ ConsumerDescription }) => ConsumerDescription));

  const register = (): Observable<KinesisConsumerLike | undefined> =>
    callKinesis(requestTimeoutMs, (how) =>
      client.registerStreamConsumer({ StreamARN: streamArn(), ConsumerName }, how),
    ).pipe(
      map(({ Consumer }) => Consumer),
      // Another worker was first, or one of that name is being deleted: the next look tells.
      catchError((reason: unknown) => (isNamed(reason, IN_USE) ? of(undefined) : throwError(() => reason))),
    );

  const find = (): Observable<KinesisConsumerLike | undefined> =>
    describe().pipe(
      catchError((reason: unknown) => {
        if (!isNamed(reason, GONE)) return throwError(() => reason);
        return given === null ? register() : throwError(() => error('source-failed', unknownArn(given), reason));
      }),
    );

  /** Looks until it is active, for as long as it may take. */
  const untilActive = (begunAt: number, looks: number): Observable<string> => {
    const again = (last: SluiceError): Observable<string> =>
      environment.now() - begunAt >= ACTIVE_TIMEOUT_MS
        ? throwError(() => last)
        : timer(backoff(looks)).pipe(concatMap(() => untilActive(begunAt, looks + 1)));
    return find().pipe(
      map((found) => ({ found, reason: null })),
      catchError((reason: unknown) => {
        if (isNamed(reason, LIMIT)) return of({ found: undefined, reason });
        return throwError(() => (isDenied(reason) ? error('not-authorized', DENIED, reason) : reason));
      }),
      concatMap(({ found, reason }) => {
        if (reason !== null) return again(error('source-failed', tooMany(ConsumerName), reason));
        const { ConsumerARN, ConsumerStatus = 'missing' } = found ?? {};
        if (ConsumerStatus === 'ACTIVE' && ConsumerARN !== undefined) return of(ConsumerARN);
        return again(error('source-failed', notActive(ConsumerName, ConsumerStatus), undefined));
      }),
    );
  };

  // All shards ask at about the same time.
  const finding = defer(() => untilActive(environment.now(), 1)).pipe(
    tap((found) => (known = found)),
    share(),
  );

  return {
    arn: () => defer(() => (known === null ? finding : of(known))),
    isReplaced: (arn) =>
      defer(() => {
        if (known !== arn) return of(true);
        known = null;
        return finding.pipe(map((found) => found !== arn));
      }),
  };
}

const DENIED = `AWS refused the consumer of enhanced fan-out for want of a permission. It needs ${NEEDED}. Grant them, register it by other means and give its consumerArn, or leave fanOut out.`;

/** A refusal to subscribe, in words that say what is needed; other failures as they are. @internal */
export function subscribeError(owner: string, stream: string, cause: unknown): unknown {
  if (isSluiceError(cause) || !isDenied(cause)) return cause;
  const text = `AWS refused it for want of a permission, or the KMS key of the stream cannot be used. Fan-out needs ${NEEDED}.`;
  return new SluiceError('not-authorized', `${owner} (stream ${stream}): ${text}`, {
    cause,
    details: { owner, stream },
  });
}

function unknownArn(arn: string): string {
  return `there is no consumer ${arn}. One that is registered anew has another ARN: take consumerName, or give the new one.`;
}

function tooMany(name: string): string {
  return (
    `the consumer ${name} could not be registered: AWS says ${LIMIT}. A stream has 20 consumers with enhanced fan-out at ` +
    'most (50 with on-demand advantage): deregister one that is not used, or leave fanOut out.'
  );
}

function notActive(name: string, status: string): string {
  return `the consumer ${name} is ${status} after ${ACTIVE_TIMEOUT_MS / 1_000} s. Look at it in the AWS console, then begin anew.`;
}
