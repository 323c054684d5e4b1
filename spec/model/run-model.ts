import {
  mergeMap,
  Observable,
  of,
  take,
  tap,
  throwError,
  timer,
  map,
  type ObservableInput,
  type Subscription,
} from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  ackEach,
  batch,
  decode,
  dedupe,
  fanOut,
  handle,
  ordered,
  permanent,
  retryToDlq,
  settling,
  split,
  unavailable,
} from '../../lib/index.js';
import type {
  Delivery,
  HandlerResult,
  IdempotencyStore,
  Message,
  Publisher,
  PublishOutcome,
  TelemetryEvent,
} from '../../lib/index.js';
import { isSettled, partOf, type DeliveryNode } from '../../lib/core/delivery-node.js';
import { environment } from '../../lib/core/environment.js';
import { logSource } from '../../lib/core/log-engine.js';
import type { Partition } from '../../lib/core/partition.js';
import { isQuiet } from '../../lib/core/quiet.js';
import type { Session } from '../../lib/core/session.js';
import { memoryIdempotencyStore } from '../../lib/memory.js';
import { gather, type GatherProbe } from './gather.js';
import { modelBroker, modelShape, type ModelLog } from './model-broker.js';
import { choices } from './random.js';
import { createWitness } from './witness.js';

// Longer than the last unsubscribe takes, so that a claim left behind is seen; shorter than the calm before it.
const LEASE_MS = 5_000;

/** What a run did, to see that the runs together reach everything. */
export type Coverage = Record<string, number>;

export interface ModelRun {
  readonly seed: number;
  /** What did not hold, the first ones; empty where all did. */
  readonly violations: readonly string[];
  /** The configuration and each step, with its virtual time. */
  readonly log: readonly string[];
  readonly coverage: Coverage;
}

interface Item {
  readonly p: number;
  readonly i: number;
}

type Work = Item | readonly Item[];

const SHAPES = ['plain', 'plain', 'split', 'fanOut', 'batch'] as const;

/**
 * One random run of the log engine under a random pipeline, in virtual time: pushes, acks, nacks, time-outs, retries,
 * revokes, losses, assignments, unsubscribes, stops, outages. Checks the invariants after every step, then calms
 * everything down and checks that nothing is lost and nothing is left.
 */
export function runModel(seed: number): ModelRun {
  const violations: string[] = [];
  const log: string[] = [];
  const coverage: Coverage = {};
  const scheduler = new TestScheduler(() => undefined);
  const { random } = environment;
  try {
    scheduler.run(() => simulate(seed, scheduler, violations, log, coverage));
  } catch (error) {
    violations.push(`threw ${(error as Error).stack}`);
  } finally {
    environment.random = random;
  }
  return { seed, violations, log, coverage };
}

function simulate(
  seed: number,
  scheduler: TestScheduler,
  violations: string[],
  log: string[],
  coverage: Coverage,
): void {
  const choice = choices(seed);
  const { below, chance, next: random } = choice;
  environment.random = random;
  const count = (what: string): void => void (coverage[what] = (coverage[what] ?? 0) + 1);
  const fail = (what: string): void => void violations.push(`${what} @${scheduler.frame}`);
  const note = (what: string): void => void log.push(`${scheduler.frame} ${what}`);

  const partitions = 1 + below(3);
  const config = {
    ordered: chance(0.6),
    dedupe: chance(0.5),
    shape: SHAPES[below(SHAPES.length)] as (typeof SHAPES)[number],
    parts: 1 + below(4),
    take: chance(0.2) ? 10 + below(30) : 0,
    takeBelow: chance(0.3),
    gather: chance(0.4) ? 2 + below(12) : 0,
    asyncDecode: chance(0.2),
    plainMergeMap: chance(0.2),
    maxInFlight: 2 + below(30),
    spanFactor: 1 + below(4),
    // Without it nacks go to the source, which runs them again for ever: no poison then.
    retry: chance(0.8),
    retries: below(3),
    concurrency: 1 + below(8),
    timeoutMs: chance(0.4) ? 30 : 0,
    poison: chance(0.3),
    lostAction: chance(0.5) ? ('earliest' as const) : ('latest' as const),
  };
  const maxSpan = config.maxInFlight * config.spanFactor;
  const maxBufferedBytes = 200;
  note(`${partitions} partitions ${JSON.stringify(config)}`);

  const broker = modelBroker(partitions, 4, choice, { lostAction: config.lostAction, fail });
  const down = { api: false, letters: false, store: false };
  let calm = false;
  let closed = true;
  let stopped = false;
  let subscription: Subscription | null = null;
  let session: Session | null = null;
  const probe: GatherProbe = { gathered: 0 };
  let stopper: AbortController | null = null;

  // A stream that `take` has completed.
  let ended = false;
  const account = ({ p, i }: Item): void => void (broker.logs[p] as ModelLog).accounted.add(i);

  // ---- ports whose answers come late, fail, or throw

  const letters: Publisher<Message> = {
    connect: () =>
      new Observable((subscriber) => {
        subscriber.next({
          publish: (messages): ObservableInput<readonly PublishOutcome[]> => {
            if (down.letters) throw new Error('dead letters are down');
            return timer(below(5)).pipe(
              map(() => {
                if (down.letters) throw new Error('dead letters are down');
                return messages.map((message): PublishOutcome => {
                  if (!calm && chance(0.1)) return { status: 'transient', error: 'try again' };
                  if (!calm && chance(0.1)) return { status: 'permanent', error: 'refused' };
                  const [p = 0, low = 0, high = 0] = message.value as Uint8Array;
                  confirmed.add(`t/${p}/${low + 256 * high}`);
                  account({ p, i: low + 256 * high });
                  count('dead letters');
                  return { status: 'ok' };
                });
              }),
            );
          },
        });
      }),
  };
  const confirmed = new Set<string>();

  const memory = memoryIdempotencyStore();
  // Claims by key, with when they lapse.
  const held = new Map<string, { readonly token: string; until: number }>();
  const faulty = <A>(answer: () => ObservableInput<A>): ObservableInput<A> => {
    if (down.store) return chance(0.5) ? throwError(() => new Error('the store is down')) : storeDown();
    return chance(0.5) ? answer() : timer(below(6)).pipe(mergeMap(() => (down.store ? storeDown() : answer())));
  };
  const store: IdempotencyStore = {
    claim: (keys, leaseMs) =>
      faulty(
        () =>
          new Observable((subscriber) => {
            (memory.claim(keys, leaseMs) as Observable<readonly { status: string; token?: string }[]>).subscribe(
              (claims) => {
                claims.forEach((claim, n) => {
                  if (claim.status !== 'claimed') return;
                  held.set(keys[n] as string, { token: claim.token as string, until: scheduler.frame + leaseMs });
                });
                subscriber.next(claims as never);
                subscriber.complete();
              },
            );
          }),
      ),
    renew: (claims, leaseMs) =>
      faulty(() => {
        for (const { key, token } of claims) {
          const claim = held.get(key);
          if (claim?.token === token) claim.until = scheduler.frame + leaseMs;
        }
        return memory.renew(claims, leaseMs);
      }),
    confirm: (claims) => faulty(() => drop(claims, memory.confirm(claims))),
    release: (claims) => faulty(() => drop(claims, memory.release(claims))),
  };
  const drop = <A>(claims: readonly { key: string; token: string }[], answer: A): A => {
    for (const { key, token } of claims) if (held.get(key)?.token === token) held.delete(key);
    return answer;
  };

  // ---- the handler, and what must hold when it starts

  const lastStarted = new Map<Partition, Map<string, number>>();
  const running = new Map<Partition, Set<string>>();

  // A handler may be started from a corked loop.
  let working = false;
  const started = (work: Work, delivery: DeliveryNode, arrivals: DeliveryNode[]): (() => void) => {
    count('handled');
    const { epoch } = delivery;
    if (!epoch.live) fail(`I4 ${delivery.id} is started on a revoked partition`);
    if (epoch.session.closed) fail(`I8 ${delivery.id} is started after close`);
    if ((broker.logs[epoch.partition as number] as ModelLog).committed === null)
      fail(`I10 ${delivery.id} before its start is durable`);
    working = true;
    check();
    working = false;
    if (!config.plainMergeMap) {
      while (arrivals.length > 0 && arrivals[0] !== delivery) {
        if (!isSettled(arrivals[0] as DeliveryNode))
          fail(`FIFO ${delivery.id} overtakes ${(arrivals[0] as DeliveryNode).id}`);
        arrivals.shift();
      }
      arrivals.shift();
    }
    const ends = itemsOf(work).map((item, n) => startedOne(item, membersOf(delivery)[n] as DeliveryNode));
    return () => ends.forEach((end) => end());
  };

  const startedOne = ({ i }: Item, delivery: DeliveryNode): (() => void) => {
    const { epoch } = delivery;
    const key = delivery.key as string | null;
    if (!config.ordered || key === null) return () => undefined;
    const keys = lastStarted.get(epoch) ?? new Map<string, number>();
    lastStarted.set(epoch, keys);
    const busy = running.get(epoch) ?? new Set<string>();
    running.set(epoch, busy);
    const alone = config.timeoutMs === 0 && config.shape !== 'split' && config.shape !== 'fanOut';
    if (busy.has(key) && alone) fail(`ORDER two at once for ${key}: ${delivery.id}`);
    if (i < (keys.get(key) ?? -1)) fail(`ORDER ${delivery.id} after ${keys.get(key)}`);
    keys.set(key, i);
    busy.add(key);
    return () => void busy.delete(key);
  };

  /** A leaf is done, before it is acked. */
  const reached = (work: Work, delivery: DeliveryNode, branch: number): void => {
    if (config.shape === 'plain') itemsOf(work).forEach(account);
    else for (const member of membersOf(delivery)) witness.reached(member, `${branch}${partOf(member)}`);
  };
  const witness = createWitness<Item>(account, fail);

  const work = (item: Work, delivery: DeliveryNode, arrivals: DeliveryNode[], branch: number): HandlerResult<Work> => {
    const end = started(item, delivery, arrivals);
    const later = (ms: number, then: () => Work): Observable<Work> =>
      new Observable((subscriber) => {
        const inner = timer(ms).subscribe(() => {
          end();
          try {
            subscriber.next(then());
            subscriber.complete();
          } catch (error) {
            subscriber.error(error);
          }
        });
        return () => {
          inner.unsubscribe();
          end();
        };
      });
    if (!calm && chance(0.004)) {
      count('unsubscribes inside a handler');
      end();
      subscription?.unsubscribe();
      subscription = null;
      return item;
    }
    if (config.poison && config.retry && itemsOf(item).some(({ i }) => i % 7 === 3)) {
      end();
      throw permanent(new Error('poison'));
    }
    if (down.api) {
      count('unavailable');
      end();
      throw unavailable(new Error('the api is down'));
    }
    const what = calm ? 0.2 + 0.8 * random() : random();
    if (calm ? what < 0.6 : what < 0.3) {
      end();
      return item;
    }
    if (calm) return later(below(5), () => item);
    if (what < 0.4) {
      end();
      throw new Error('thrown');
    }
    if (what < 0.5) return later(below(20), () => raise(new Error('late')));
    if (what < 0.56 && config.timeoutMs > 0) {
      count('promises that outlive their time-out');
      return lateThenable(20 + below(100), item, end);
    }
    if (what < 0.62) {
      return later(below(5), () => {
        if (!isSettled(delivery)) reached(item, delivery, branch);
        delivery.ack();
        return item;
      });
    }
    if (what < 0.66) return later(below(5), () => (delivery.nack('by hand', { delayMs: below(20) }), item));
    if (what < 0.7) {
      end();
      return of(item);
    }
    return later(below(20), () => item);
  };

  // ---- the pipeline

  const telemetry = (event: TelemetryEvent): void => {
    count(event.type);
    if (event.type === 'closed') closed = true;
    if (event.type === 'settled' && event.outcome === 'dead-lettered' && !confirmed.has(event.message.id)) {
      fail(`I6 ${event.message.id} is settled before its dead letter is confirmed`);
    }
  };

  const subscribe = (): void => {
    if (!closed || subscription !== null) return;
    count('subscriptions');
    closed = false;
    stopped = false;
    ended = false;
    const taking = config.take > 0 && !calm;
    const taken = (here: boolean) =>
      here && taking ? take<Delivery<Uint8Array | null>>(config.take) : tap<Delivery<Uint8Array | null>>();
    stopper = new AbortController();
    const source = logSource({
      name: 'model',
      options: {
        maxInFlight: config.maxInFlight,
        maxSpan,
        maxBufferedBytes,
        drainTimeoutMs: 200,
        unsettledWarnMs: 100,
        stop: stopper.signal,
        telemetry,
      },
      shape: modelShape,
      commitIntervalMs: below(30),
      redelivery: () => below(30),
      connect: (engine) => broker.connect(engine),
    });
    const decoded = source.pipe(
      taken(!config.takeBelow),
      config.ordered ? ordered({ by: 'key' }) : tap(),
      config.retry ? retryToDlq({ deadLetters: letters, maxRetries: config.retries, backoff: () => below(30) }) : tap(),
      taken(config.takeBelow),
      decode((bytes) => {
        const [p = 0, low = 0, high = 0] = bytes as Uint8Array;
        const item = { p, i: low + 256 * high };
        return config.asyncDecode && chance(0.5) ? timer(below(6)).pipe(map(() => item)) : item;
      }),
      config.dedupe ? dedupe({ key: ({ p, i }) => `${p}:${i}`, store, leaseMs: LEASE_MS }) : tap(),
      config.gather > 0 ? gather<Item>(config.gather, 40, probe) : tap(),
    );
    const bottom =
      (branch: number) =>
      (deliveries: Observable<Delivery<Work>>): Observable<Work> => {
        const arrivals: DeliveryNode[] = [];
        const arriving = deliveries.pipe(tap((delivery) => arrivals.push(delivery as unknown as DeliveryNode)));
        const run = (value: Work, delivery: unknown) => work(value, delivery as DeliveryNode, arrivals, branch);
        const { concurrency, timeoutMs } = config;
        const handled = config.plainMergeMap
          ? arriving.pipe(mergeMap((delivery) => settling(delivery, (value) => run(value, delivery)), concurrency))
          : arriving.pipe(handle(run, { concurrency, ...(timeoutMs > 0 ? { timeoutMs } : {}) }));
        return handled.pipe(
          tap((delivery) => {
            const node = delivery as unknown as DeliveryNode;
            if (isSettled(node)) fail(`SETTLED ${delivery.id} is emitted though it is settled`);
            else reached(delivery.value, node, branch);
          }),
          ackEach(),
        );
      };
    const shaped = {
      plain: () => decoded.pipe(bottom(0)),
      split: () => {
        const parts = ({ i }: Item): number => (i + config.parts) % 4;
        const options = { maxPartsInFlight: 1 + below(6) };
        return decoded.pipe(
          witness.stand(parts),
          split((item) => Array(parts(item)).fill(item) as Item[], options),
          bottom(0),
        );
      },
      fanOut: () =>
        decoded.pipe(
          witness.stand(() => 2),
          fanOut(bottom(0), bottom(1)),
        ),
      batch: () =>
        decoded.pipe(
          witness.stand(() => 1),
          batch({ maxSize: config.parts, maxWaitMs: 40 }),
          bottom(0),
        ),
    };
    const subscribed = shaped[config.shape]().subscribe({
      error: (error: unknown) => fail(`I7 the stream ended: ${String(error)}`),
      complete: () => {
        ended = true;
        if (!stopped && !taking) fail('I7 the stream completed by itself');
      },
    });
    subscription = ended ? null : subscribed;
    session = broker.logs.find(({ assigned }) => assigned !== null)?.assigned?.session ?? session;
  };

  // ---- what must hold at any time

  const check = (): void => {
    session = broker.logs.find(({ assigned }) => assigned !== null)?.assigned?.session ?? session;
    if (session === null) return;
    if (session.closed) {
      const { watchdog, deadline, ending } = session;
      if ([watchdog, deadline, ending].some((timer) => timer?.closed === false))
        fail('I8 a closed session has a timer');
      return;
    }
    const all = [...session.partitions, ...session.draining];
    const sum = (of: (partition: Partition) => number): number => all.reduce((total, each) => total + of(each), 0);
    if (session.inFlight > config.maxInFlight) fail(`I3 ${session.inFlight} in flight`);
    if (session.pendingBytes > maxBufferedBytes + 80 * partitions)
      fail(`I3 ${session.pendingBytes} bytes are buffered`);
    for (const each of all) if ((each.window?.span ?? 0) > maxSpan) fail(`I9 the span is ${each.window?.span}`);
    if (sum(({ out }) => out) !== session.inFlight) fail(`COUNT in flight ${session.inFlight}`);
    if (sum(({ held: h }) => h) !== session.held) fail(`COUNT held ${session.held} of ${sum(({ held: h }) => h)}`);
    if (sum(({ parts }) => parts) !== session.parts) fail(`COUNT parts ${session.parts}`);
    if (sum(({ pendingBytes }) => pendingBytes) !== session.pendingBytes) fail(`COUNT bytes ${session.pendingBytes}`);
    if (!working && isQuiet(session) && probe.gathered > 0) fail(`QUIET and ${probe.gathered} are gathered`);
    if (session.held < 0 || sum(({ blocked }) => blocked) < 0) fail(`COUNT held ${session.held} is below 0`);
    if (session.corks !== 0 && !working) fail(`COUNT ${session.corks} corks are left`);
    checkTurns(session);
  };

  const checkTurns = (at: Session): void => {
    const assigned = [...at.partitions];
    const countOf = (is: (partition: Partition) => boolean): number => assigned.filter(is).length;
    if (at.paused !== countOf(({ paused }) => paused)) fail(`COUNT paused ${at.paused}`);
    if (at.gated !== countOf(({ gated }) => gated)) fail(`COUNT gated ${at.gated}`);
    if (at.backlog !== countOf(({ gated, pending }) => !gated && pending > 0)) fail(`COUNT backlog ${at.backlog}`);
    if (working) return;
    for (const { partition, gated, pending, blocked, window, hasTurn, ready, hasRetries } of assigned) {
      const isStopped = gated || blocked >= at.mostBlocked || (window?.span ?? 0) >= maxSpan;
      if (pending > 0 && !isStopped && !hasTurn) fail(`TURN ${partition} could give, and has no turn`);
      if (ready.length > 0 && !hasRetries) fail(`TURN ${partition} has retries that are due, and no turn`);
    }
  };

  const advance = (ms: number): void => {
    const to = scheduler.frame + ms;
    scheduler.maxFrames = to;
    scheduler.flush();
    scheduler.frame = to;
  };

  // ---- the steps

  const steps: readonly (readonly [weight: number, name: string, act: () => void])[] = [
    [30, 'push', () => broker.publish(below(partitions), 1 + below(20))],
    [42, 'wait', () => advance(below(60))],
    [6, 'revoke', () => broker.revoke(below(partitions))],
    [8, 'assign', () => broker.assign(below(partitions))],
    [2, 'lose', () => broker.lose(below(partitions))],
    [3, 'others', () => broker.others(below(partitions))],
    [2, 'api', () => void (down.api = !down.api)],
    [2, 'letters', () => void (down.letters = !down.letters)],
    [2, 'store', () => void (down.store = !down.store)],
    [1, 'commits', () => void (broker.commitDown = !broker.commitDown)],
    [2, 'unsubscribe', () => unsubscribe()],
    [1, 'stop', () => stop()],
    [1, 'retention', () => retention(below(partitions))],
  ];
  const total = steps.reduce((sum, [weight]) => sum + weight, 0);

  const unsubscribe = (): void => {
    subscription?.unsubscribe();
    subscription = null;
    if (chance(0.7)) advance(below(700));
  };
  const stop = (): void => {
    stopped = true;
    stopper?.abort();
    advance(700);
    if (!closed) fail('I8 a stopped source is not closed after its drain time-out');
    subscription = null;
  };
  const endOfTake = (): void => {
    count('takes');
    subscription = null;
    advance(700);
    if (!closed) fail('I8 the source is not closed after a take');
  };
  const retention = (p: number): void => {
    const each = broker.logs[p] as ModelLog;
    const first = Math.min(each.records.length, each.first + below(5));
    // What was never fetched is lost by retention, not by us; what we hold must still be settled.
    for (let i = each.first; i < first; i++) if (each.assigned === null || i >= each.fed) each.accounted.add(i);
    each.first = first;
    if (each.committed !== null && each.assigned === null) each.committed = Math.max(each.committed, first);
  };

  const step = (): void => {
    let at = below(total);
    const chosen = steps.find(([weight]) => (at -= weight) < 0);
    if (chosen === undefined) return;
    note(chosen[1]);
    count(`step ${chosen[1]}`);
    chosen[2]();
    check();
    if (ended && subscription !== null) endOfTake();
    if (closed && subscription === null && chance(0.6)) subscribe();
  };

  subscribe();
  const length = 30 + below(100);
  for (let n = 0; n < length && violations.length === 0; n++) step();
  if (violations.length > 0) return;

  // ---- calm: everything is back, all is ours, time passes; nothing may be lost or left

  note('calm');
  calm = true;
  down.api = down.letters = down.store = broker.commitDown = false;
  for (let n = 0; n < 60; n++) {
    if (ended) subscription = null;
    if (subscription === null) {
      advance(700);
      subscribe();
    }
    broker.logs.forEach((_, p) => broker.assign(p));
    broker.feed();
    advance(1_000);
    check();
  }
  const at = session as Session | null;
  broker.logs.forEach(({ committed, records, accounted, fed, lost }, p) => {
    const unread = committed !== records.length && !(lost && fed === records.length);
    if ((records.length > 0 && unread) || records.some(({ i }) => !accounted.has(i))) {
      fail(`I2 partition ${p} is committed up to ${committed} of ${records.length}: ${describe(at)}`);
    }
  });
  if (at !== null && (at.inFlight > 0 || at.held !== 0 || at.parts !== 0))
    fail(`I2 something is left: ${describe(at)}`);
  (subscription as Subscription | null)?.unsubscribe();
  advance(700);
  if (!closed) fail('I8 the source is not closed');
  const left = scheduler.actions.filter((action) => !action.closed).length;
  if (left > 0) fail(`I8 ${left} timers are left`);
  const claims = [...held].filter(([, { until }]) => until > scheduler.frame);
  if (claims.length > 0) fail(`I8 claims are left: ${claims.map(([key]) => key).join(' ')}`);
}

function describe(session: Session | null): string {
  if (session === null) return 'no session';
  const { inFlight, held, parts, pendingBytes, waiting, corks, pumping } = session;
  return JSON.stringify({ inFlight, held, parts, pendingBytes, waiting, corks, pumping, tasks: session.tasks.length });
}

function itemsOf(work: Work): readonly Item[] {
  return Array.isArray(work) ? (work as readonly Item[]) : [work as Item];
}

function membersOf(delivery: DeliveryNode): readonly DeliveryNode[] {
  const { members } = delivery;
  return members.length > 0 ? members : [delivery];
}

function raise(error: Error): never {
  throw error;
}

function storeDown(): never {
  throw new Error('the store is down');
}

function lateThenable(ms: number, item: Work, end: () => void): PromiseLike<Work> {
  return {
    then: (resolve: ((value: Work) => unknown) | null | undefined) => {
      timer(ms).subscribe(() => {
        end();
        resolve?.(item);
      });
      return undefined as never;
    },
  } as PromiseLike<Work>;
}
