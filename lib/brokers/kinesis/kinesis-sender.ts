import { catchError, concat, last, map, of, reduce, throwError, type Observable } from 'rxjs';
import { isError } from '../../core/is-error.js';
import { readSafely } from '../../core/read-safely.js';
import { safeWord } from '../../core/safe-word.js';
import { callKinesis } from './kinesis-call.js';
import type { KinesisClientLike, KinesisEntryLike, KinesisPutResultLike } from './kinesis-client.js';
import { isRefusal, isRefusalName, isThrottled, kinesisError } from './kinesis-errors.js';
import { refused } from './kinesis-outgoing.js';
import { streamInput, streamName } from './kinesis-stream.js';

/** What became of one record of a request. @internal */
export type RecordAnswer =
  | { readonly status: 'ok'; readonly shard: string; readonly sequenceNumber: string }
  /** Not stored; `word` is the service's own for why. */
  | { readonly status: 'again'; readonly word: string }
  | { readonly status: 'permanent'; readonly error: unknown };

/** @internal */
export interface SendOptions {
  /** A name or an ARN. */
  readonly stream: string;
  readonly requestTimeoutMs: number;
}

/**
 * Sends records as one request and answers record by record. What is refused as a whole is sent again by halves, one
 * after the other, until the record is found that Kinesis will not take. Errors where nothing is known.
 * @internal
 */
export function sendRecords(
  client: KinesisClientLike,
  options: SendOptions,
  records: readonly KinesisEntryLike[],
): Observable<readonly RecordAnswer[]> {
  const { stream, requestTimeoutMs } = options;
  return callKinesis(requestTimeoutMs, (call) =>
    client.putRecords({ ...streamInput(stream), Records: [...records] }, call),
  ).pipe(
    last(),
    map(({ Records = [] }) => records.map((_, index) => answerOf(stream, Records[index]))),
    catchError((error: unknown) => {
      if (isThrottled(error)) return of(records.map(() => ({ status: 'again', word: wordOf(error) }) as const));
      if (!isRefusal(error)) {
        return throwError(() => kinesisError('kinesisPublisher', error, { stream, otherwise: 'publish-failed' }));
      }
      if (records.length === 1)
        return of([{ status: 'permanent', error: refusalOf(stream, wordOf(error), error) } as const]);
      const half = Math.ceil(records.length / 2);
      return concat(
        sendRecords(client, options, records.slice(0, half)),
        sendRecords(client, options, records.slice(half)),
      ).pipe(reduce((all, answers) => [...all, ...answers], [] as readonly RecordAnswer[]));
    }),
  );
}

function answerOf(stream: string, result: KinesisPutResultLike | undefined): RecordAnswer {
  const { SequenceNumber, ShardId, ErrorCode } = result ?? {};
  if (ErrorCode === undefined && SequenceNumber !== undefined && ShardId !== undefined) {
    return { status: 'ok', shard: ShardId, sequenceNumber: SequenceNumber };
  }
  if (isRefusalName(ErrorCode)) return { status: 'permanent', error: refusalOf(stream, ErrorCode) };
  return { status: 'again', word: ErrorCode === undefined ? 'nothing' : (safeWord(ErrorCode) ?? 'something') };
}

function wordOf(error: unknown): string {
  return (isError(error) ? safeWord(readSafely(error, 'name')) : undefined) ?? 'something';
}

function refusalOf(stream: string, word: string, cause?: unknown): unknown {
  return refused(`${streamName(stream)} does not take this message: ${word}`, { cause });
}
