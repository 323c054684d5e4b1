import { defer, EMPTY, Subscription, throwError, timeout, type ObservableInput } from 'rxjs';
import { isError } from '../../core/is-error.js';
import { timedOut } from './kinesis-call.js';
import type { KinesisCallOptions, KinesisFanOutEventLike, KinesisStreamEventLike } from './kinesis-client.js';

/** What comes of one call of `subscribeToShard`. Nothing comes after `ended` or `failed`. @internal */
export interface EventStreamEvents {
  /** The service has taken the call. */
  opened(): void;
  /** One of them for each `pull`. */
  event(event: KinesisFanOutEventLike): void;
  /** By itself. */
  ended(): void;
  failed(error: unknown): void;
}

/** One call of `subscribeToShard`, and what it has sent. @internal */
export interface EventStream {
  /** Calls. */
  open(): void;
  /** Takes the next event; until then the server's window fills, and it stops. */
  pull(): void;
  /** Ends the call and its socket. */
  close(): void;
}

type Answer = { readonly EventStream?: AsyncIterable<KinesisStreamEventLike> | undefined };

/** An answer that has not begun within `timeoutMs` is none. @internal */
export function createEventStream(
  timeoutMs: number,
  call: (options: KinesisCallOptions) => ObservableInput<Answer>,
  events: EventStreamEvents,
): EventStream {
  const aborting = new AbortController();
  const waits = new Subscription();
  let iterator: AsyncIterator<KinesisStreamEventLike> | null = null;

  const close = (): void => {
    waits.unsubscribe();
    // The SDK's iterator does not pass a `return` on to the socket: the signal ends that.
    aborting.abort();
    const ending = iterator;
    iterator = null;
    // What it says of its end is of no use to anybody.
    defer((): ObservableInput<unknown> => ending?.return?.() ?? EMPTY).subscribe({ error: () => undefined });
  };
  const end = (tell: () => void): void => {
    if (waits.closed) return;
    close();
    tell();
  };
  const failed = (error: unknown): void => end(() => events.failed(error));

  const take = ({ done, value }: IteratorResult<KinesisStreamEventLike, unknown>): void => {
    if (done === true) {
      end(() => events.ended());
      return;
    }
    const { SubscribeToShardEvent: event, ...others } = value;
    const thrown = Object.values(others).find(isError);
    if (thrown !== undefined) failed(thrown);
    else if (event === undefined) pull();
    else events.event(event);
  };
  const pull = (): void => {
    const from = iterator;
    if (from !== null) waits.add(defer(() => from.next()).subscribe({ next: take, error: failed }));
  };

  const open = (): void =>
    waits.add(
      defer(() => call({ abortSignal: aborting.signal }))
        .pipe(timeout({ first: timeoutMs, with: () => throwError(() => timedOut(timeoutMs)) }))
        .subscribe({
          next: ({ EventStream: stream }) => {
            if (stream === undefined) {
              end(() => events.ended());
              return;
            }
            iterator = stream[Symbol.asyncIterator]();
            events.opened();
          },
          error: failed,
        }),
    );
  return { open, pull, close };
}
