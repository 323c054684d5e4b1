import { asyncScheduler, AsyncSubject, lastValueFrom, Subscription, type Observable } from 'rxjs';
import type { KinesisCallOptions, KinesisClientLike } from '../../lib/brokers/kinesis/kinesis-client.js';
import { sdkError, type SdkErrorShape } from './kinesis-fake-errors.js';

export type FakeKinesisOperation = keyof KinesisClientLike;

/** A call, as the fake saw it. */
export interface FakeKinesisCall {
  readonly operation: FakeKinesisOperation;
  /** What it was called with; typed by the operation that made it. */
  readonly input: unknown;
  /** Milliseconds of the scheduler's time. */
  readonly at: number;
  /** The shard that it is about, if there is one. */
  readonly shard: string | undefined;
  /** `'open'` until it is answered, then `'answered'` or the name of its error; `'AbortError'` where it was cut off. */
  outcome: string;
}

/** Which calls a fault befalls. */
export interface FakeFaultOptions {
  /** How many of them. Default 1. */
  readonly times?: number;
  /** Which ones. Default: all of the operation. */
  readonly when?: (call: FakeKinesisCall) => boolean;
  /** The call takes effect, and its answer alone is lost. Default false. */
  readonly done?: boolean;
}

export interface FakeKinesisCalls {
  /** All calls, from the first on. */
  readonly calls: FakeKinesisCall[];
  /** How long an answer is on its way. The call itself takes effect at once. Default 1. */
  latencyMs: number | ((call: FakeKinesisCall) => number);
  /** Makes calls fail, the earliest fault first. */
  fail(operation: FakeKinesisOperation, fault: FakeFaultOptions & SdkErrorShape): void;
  /** Leaves calls without an answer; only an abort ends them. */
  hang(operation: FakeKinesisOperation, fault?: FakeFaultOptions): void;
  /** Calls of an operation, of one shard where it is named. */
  callsOf(operation: FakeKinesisOperation, shard?: string): FakeKinesisCall[];
  /** Calls without an answer. */
  openCalls(): FakeKinesisCall[];
  /** The most reads of a shard that began within any one second. */
  readsPerSecond(shard: string): number;
}

interface Fault {
  readonly operation: FakeKinesisOperation;
  readonly options: FakeFaultOptions;
  /** None: the call hangs. */
  readonly error: SdkErrorShape | undefined;
  left: number;
}

/** What a call is and does. */
export interface FakeRequest<T> {
  readonly operation: FakeKinesisOperation;
  readonly input: unknown;
  readonly shard?: string | undefined;
  readonly options: KinesisCallOptions | undefined;
  /** Takes effect, and answers or throws. */
  readonly serve: () => T;
}

/**
 * The way of a call to the fake and back: recorded, broken by faults, answered after its latency. All of it runs on RxJS
 * schedulers, so that it is virtual in a TestScheduler.
 */
export function fakeCalls(): FakeKinesisCalls & { answer<T>(request: FakeRequest<T>): Promise<T> } {
  const faults: Fault[] = [];

  const faultOf = (call: FakeKinesisCall): Fault | undefined => {
    const found = faults.find(
      ({ operation, options, left }) => left > 0 && operation === call.operation && (options.when?.(call) ?? true),
    );
    if (found !== undefined) found.left--;
    return found;
  };
  const add = (operation: FakeKinesisOperation, options: FakeFaultOptions, error: SdkErrorShape | undefined): void => {
    faults.push({ operation, options, error, left: options.times ?? 1 });
  };

  const all: ReturnType<typeof fakeCalls> = {
    calls: [],
    latencyMs: 1,
    fail: (operation, fault) => add(operation, fault, fault),
    hang: (operation, fault = {}) => add(operation, fault, undefined),
    callsOf: (operation, shard) =>
      all.calls.filter((call) => call.operation === operation && (shard === undefined || call.shard === shard)),
    openCalls: () => all.calls.filter(({ outcome }) => outcome === 'open'),
    readsPerSecond: (shard) => {
      const times = all.callsOf('getRecords', shard).map(({ at }) => at);
      return Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + 1_000).length));
    },
    answer: ({ operation, input, shard, options, serve }) => {
      const call: FakeKinesisCall = { operation, input, at: asyncScheduler.now(), shard, outcome: 'open' };
      all.calls.push(call);
      const answer = new AsyncSubject<ReturnType<typeof serve>>();
      const arrival = new Subscription();
      const settle = (outcome: string, tell: () => void): void => {
        call.outcome = outcome;
        arrival.unsubscribe();
        tell();
      };
      const refuse = (error: unknown): void => settle(nameOf(error), () => answer.error(error));
      const arrive = (ms: number, tell: () => void): void => arrival.add(asyncScheduler.schedule(tell, ms));
      // As a Promise does, it tells those who wait for it later on.
      const abort = (): void =>
        settle('AbortError', () => {
          const error = sdkError({ name: 'AbortError', message: 'Request aborted' });
          asyncScheduler.schedule(() => answer.error(error));
        });

      const signal = options?.abortSignal;
      if (signal?.aborted) {
        abort();
        return promised(answer);
      }
      signal?.addEventListener('abort', abort);
      arrival.add(() => signal?.removeEventListener('abort', abort));

      const fault = faultOf(call);
      const served = fault === undefined || fault.options.done ? outcomeOf(serve) : undefined;
      const latencyMs = typeof all.latencyMs === 'number' ? all.latencyMs : all.latencyMs(call);
      if (fault !== undefined) {
        const { error } = fault;
        if (error !== undefined) arrive(latencyMs, () => refuse(sdkError(error)));
      } else if (served !== undefined) {
        arrive(latencyMs, () => {
          if ('error' in served) return refuse(served.error);
          settle('answered', () => {
            answer.next(served.value);
            answer.complete();
          });
        });
      }
      return promised(answer);
    },
  };
  return all;
}

/** The name of an error, or its code where it has no name of its own. */
function nameOf(error: unknown): string {
  const { name, code } = error as { readonly name?: string; readonly code?: string };
  return (name === 'Error' ? code : name) ?? String(error);
}

function outcomeOf<T>(serve: () => T): { readonly value: T } | { readonly error: unknown } {
  try {
    return { value: serve() };
  } catch (error) {
    return { error };
  }
}

/**
 * An answer as the library takes it, by `defer(() => client.getRecords(…))`: an Observable, for Promises know no virtual
 * time. Outside of that it may be awaited too.
 */
export function promised<T>(answer: Observable<T>): Promise<T> {
  const then: Promise<T>['then'] = (onValue, onError) => lastValueFrom(answer).then(onValue, onError);
  return Object.assign(answer, { then }) as unknown as Promise<T>;
}
