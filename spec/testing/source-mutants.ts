import { concat, EMPTY, filter, map, mergeMap, Observable, of, ReplaySubject, share, tap, timer } from 'rxjs';
import type { Message, TelemetryEvent } from '../../lib/index.js';
import type { SourceDriver, SourceFeature, SourceRequest, SourceTestBed } from '../../lib/testing.js';
import { memorySourceDriver } from '../conformance/memory-drivers.js';
import { acksEarly, altered, each, givesTwice, type Change, type Raw } from './broken-source.js';
import { changeHeaders, lastOnly, leaveATimer, MUTANT_TIMINGS, throughText, type Mutant } from './mutant.js';

interface Defect {
  readonly source?: Change;
  readonly bed?: (bed: SourceTestBed) => Partial<SourceTestBed>;
  readonly on?: readonly SourceFeature[];
}

/** The memory broker with a defect between it and the suite. */
function broken({ source, bed: changeBed, on = [] }: Defect): SourceDriver {
  return {
    ...memorySourceDriver,
    timings: MUTANT_TIMINGS,
    features: { ...memorySourceDriver.features, ...Object.fromEntries(on.map((feature) => [feature, true])) },
    open: async () => {
      const bed = await memorySourceDriver.open();
      return { ...bed, ...(source ? { source: (request) => source(bed, request) } : {}), ...changeBed?.(bed) };
    },
  };
}

const without =
  (name: keyof SourceRequest): Change =>
  (bed, request) =>
    bed.source({ ...request, [name]: undefined });

const given =
  (options: Partial<SourceRequest>): Change =>
  (bed, request) =>
    bed.source({ ...request, ...options });

const muted =
  (type: TelemetryEvent['type']): Change =>
  (bed, request) =>
    bed.source({ ...request, telemetry: (event) => event.type !== type && request.telemetry?.(event) });

const publishing =
  (change: (message: Message) => Message) =>
  (bed: SourceTestBed): Partial<SourceTestBed> => ({
    publish: (topic, messages) => bed.publish(topic, messages.map(change)),
  });

let groups = 0;
const inAGroupOfItsOwn: Change = (bed, request) => bed.source({ ...request, group: `${request.group}-${groups++}` });

const dropsNacks: Change = each((delivery) =>
  altered(delivery, { nack: () => delivery.ack(), fail: () => delivery.ack() }),
);

const dropsTwins: Change = (bed, request) => {
  const seen = new Set<string>();
  return bed.source(request).pipe(
    filter(({ value }) => {
      const text = new TextDecoder().decode(value ?? undefined);
      const isNew = !seen.has(text);
      seen.add(text);
      return isNew;
    }),
  );
};

export const sourceMutants: readonly Mutant<SourceDriver>[] = [
  {
    name: 'begins before it is subscribed',
    driver: broken({
      source: (bed, request) => {
        const kept = bed.source(request).pipe(share({ connector: () => new ReplaySubject<Raw>() }));
        const early = kept.subscribe();
        return new Observable((subscriber) => {
          kept.subscribe(subscriber);
          return () => early.unsubscribe();
        });
      },
    }),
    caughtBy: '1 does nothing before it is subscribed',
    seen: /not subscribed, and told of: assigned/,
  },
  {
    name: 'has one session for all its subscriptions',
    driver: broken({
      source: (bed, request) =>
        bed.source(request).pipe(share({ connector: () => new ReplaySubject<Raw>(0), resetOnRefCountZero: false })),
    }),
    caughtBy: '1 gives each subscription a session of its own',
    seen: /the second subscription must receive m0 to m2/,
  },
  {
    name: 'never ends at the end',
    driver: broken({ source: without('until') }),
    caughtBy: "1 with until: 'end'",
    seen: /did not complete; received 20 of 20 \(state: open\)/,
  },
  {
    name: 'decodes values as text',
    driver: broken({ source: each((delivery) => altered(delivery, { value: throughText(delivery.value) })) }),
    caughtBy: '2 keeps binary values',
    seen: /^256 bytes \(00 01 02/,
  },
  {
    name: 'makes a tombstone of an empty value',
    driver: broken({
      bed: publishing((message) => ({ ...message, value: message.value?.length ? message.value : null })),
    }),
    caughtBy: '2 keeps empty values',
    seen: /^'' was published; what came is null, 'after it'/,
  },
  {
    name: 'makes an empty value of a tombstone',
    driver: broken({ source: each((delivery) => altered(delivery, { value: delivery.value ?? new Uint8Array(0) })) }),
    caughtBy: '2 keeps tombstones',
    seen: /^null was published; what came is '', 'after it'/,
  },
  {
    name: 'keeps the first character of a key',
    driver: broken({ source: each((delivery) => altered(delivery, { key: delivery.key?.slice(0, 1) ?? null })) }),
    caughtBy: '2 keeps keys of text',
    seen: /^The key 'key' came as 'k'/,
  },
  {
    name: 'decodes keys as text',
    driver: broken({ source: each((delivery) => altered(delivery, { key: throughText(delivery.key) })) }),
    caughtBy: '2 keeps keys of any bytes',
    seen: /^The key 256 bytes .* came as/,
  },
  {
    name: 'gives a key to what has none',
    driver: broken({ source: each((delivery) => altered(delivery, { key: delivery.key ?? '' })) }),
    caughtBy: '2 keeps the want of a key',
    seen: /^The key null came as ''/,
  },
  {
    name: 'loses headers',
    driver: broken({ source: each((delivery) => altered(delivery, { headers: {} })) }),
    caughtBy: '2, 33 keeps headers',
    seen: /header traceparent was sent as '00-4bf.*came as nothing/,
  },
  {
    name: 'decodes headers as text',
    driver: broken({
      source: each((delivery) =>
        altered(delivery, { headers: changeHeaders(delivery.headers, (value) => throughText(value as Uint8Array)) }),
      ),
    }),
    caughtBy: '2 keeps headers of any bytes',
    seen: /header raw was sent as 256 bytes/,
  },
  {
    name: 'keeps the last of repeated headers',
    driver: broken({
      source: each((delivery) => altered(delivery, { headers: changeHeaders(delivery.headers, lastOnly) })),
    }),
    caughtBy: '2 keeps repeated headers',
    seen: /header twice was sent as 'first', 'second' and came as 'second'/,
  },
  {
    name: 'stamps messages itself',
    driver: broken({ source: each((delivery) => altered(delivery, { timestamp: Date.now() })) }),
    caughtBy: '2 keeps time-stamps',
    seen: /^The time-stamp \d+ came as \d+/,
  },
  {
    name: 'counts ids anew in each partition',
    driver: broken({ source: each((delivery) => altered(delivery, { id: delivery.id.split('/')[2] })) }),
    caughtBy: '2 gives each message an id of its own',
    seen: /^30 messages have \d+ ids/,
  },
  {
    name: 'lets a message be overtaken in its partition',
    driver: broken({
      source: (bed, request) =>
        bed
          .source(request)
          .pipe(mergeMap((delivery, at) => (at === 10 ? timer(20).pipe(map(() => delivery)) : of(delivery)))),
    }),
    caughtBy: '3 keeps the order of a partition',
    seen: /^After m7, m8, m9 came m11, not m10/,
  },
  {
    name: 'spreads a key over partitions',
    driver: broken({
      bed: (bed) => {
        let turn = 0;
        return publishing((message) => ({ ...message, partition: turn++ % 3 }))(bed);
      },
    }),
    caughtBy: '3 keeps the order of a key over several partitions',
    seen: /^After .* came key-\d+\/m\d+, not key-\d+\/m\d+/,
  },
  {
    name: 'mixes topics',
    driver: broken({
      bed: (bed) => {
        let first: string | null = null;
        return {
          publish: async (topic, messages) => {
            first ??= topic;
            await bed.publish(topic, messages);
            if (first !== topic) await bed.publish(first, messages);
          },
        };
      },
    }),
    caughtBy: '4 keeps topics apart',
    seen: /^From the other topic came: right-0/,
  },
  {
    name: 'has one group for all',
    driver: broken({ source: given({ group: 'the only one' }) }),
    caughtBy: '5 gives every message to each group',
    seen: /^20 of 20 were not received/,
  },
  {
    name: 'starts at the end, always',
    driver: broken({ source: given({ start: 'latest' }) }),
    caughtBy: '6 starts a new group at the oldest message',
    seen: /^5 of 5 were not received: m0/,
  },
  {
    name: 'starts at the oldest message, always',
    driver: broken({ source: without('start') }),
    caughtBy: '6 starts a new group at the first message of a time',
    seen: /received what is older: before-0/,
  },
  {
    name: 'does not keep the start position that it found',
    driver: broken({ source: inAGroupOfItsOwn, bed: () => ({ committed: () => [5] }) }),
    caughtBy: '6 starts a new group at the end',
    seen: /^5 of 5 were not received: new-0/,
  },
  {
    name: 'begins anew after a stop',
    driver: broken({ source: inAGroupOfItsOwn }),
    caughtBy: '6, 7 goes on where the group stopped',
    seen: /^Acked before a clean stop, and received again: m0/,
  },
  {
    name: 'skips silently what retention has passed',
    driver: broken({ source: given({ onPositionLost: 'latest' }) }),
    caughtBy: '6 ends with position-lost',
    seen: /^The position is gone, and the source is open/,
  },
  {
    name: 'fails with an error of the client',
    driver: broken({
      source: (bed, request) =>
        new Observable((subscriber) =>
          bed.source(request).subscribe({
            next: (delivery) => subscriber.next(delivery),
            error: () => subscriber.error(new RangeError('offset out of range')),
          }),
        ),
    }),
    caughtBy: '6 ends with position-lost',
    seen: /must fail with position-lost, and failed with: RangeError: offset out of range/,
  },
  {
    name: 'does not say that a position was lost',
    driver: broken({ source: muted('position-lost') }),
    caughtBy: "6 goes on at the oldest message with onPositionLost: 'earliest'",
    seen: /telemetry was not told of position-lost/,
  },
  {
    name: 'commits what it emits',
    driver: broken({ source: acksEarly }),
    caughtBy: '7 commits up to the oldest unsettled message and no further',
    seen: /^Message 0 of the partition is unsettled, and \d is committed/,
  },
  {
    name: 'commits the newest ack',
    driver: broken({
      source: (bed, request) => {
        const out: Raw[] = [];
        return bed.source(request).pipe(
          map((delivery) => {
            out.push(delivery);
            const ack = (): void => {
              for (const older of out.slice(0, out.indexOf(delivery) + 1)) older.ack();
            };
            return altered(delivery, { ack });
          }),
        );
      },
    }),
    caughtBy: '7 commits up to the oldest unsettled message and no further',
    seen: /^Message 0 of the partition is unsettled, and \d is committed/,
  },
  {
    name: 'never commits',
    driver: broken({ bed: () => ({ committed: () => [null] }) }),
    caughtBy: '7 commits up to the oldest unsettled message and no further',
    seen: /^Committed is \[\], not \[2\]/,
  },
  {
    name: 'commits what it emits, seen by the next subscription',
    driver: broken({ source: acksEarly }),
    caughtBy: '7, 8 after acks of a, b and d',
    seen: /^2 of 2 were not received: c, e/,
  },
  {
    name: 'commits what is out when it closes',
    driver: broken({
      source: (bed, request) => {
        const out: Raw[] = [];
        const ackAll = (): void => out.forEach((delivery) => delivery.ack());
        return bed.source(request).pipe(tap({ next: (delivery) => out.push(delivery), unsubscribe: ackAll }));
      },
    }),
    caughtBy: '8 gives what was never settled',
    seen: /^20 of 20 were not received/,
  },
  {
    name: 'drops what is nacked',
    driver: broken({ source: dropsNacks }),
    caughtBy: '9, 10 gives a nacked message again',
    seen: /^a was nacked 1 times and came 1 times/,
  },
  {
    name: 'gives a redelivery another id',
    driver: broken({ source: each((delivery) => altered(delivery, { id: `${delivery.id}#${delivery.attempt}` })) }),
    caughtBy: '9, 10 gives a nacked message again',
    seen: /^The id was .*#1 and is .*#3 in the next attempt/,
  },
  {
    name: 'does not count attempts',
    driver: broken({ source: each((delivery) => altered(delivery, { attempt: 1 })) }),
    caughtBy: '9, 10 gives a nacked message again',
    seen: /^The attempts of a are 1, 1, 1, not 1, 2, 3/,
  },
  {
    name: 'ignores delayMs',
    driver: broken({
      source: each((delivery) =>
        altered(delivery, { nack: (reason: unknown) => delivery.nack(reason, { delayMs: 1 }) }),
      ),
    }),
    caughtBy: '9 gives a message nacked with delayMs',
    seen: /^b was nacked with delayMs 100 and came again after \d+ ms/,
  },
  {
    name: 'throws on a second settlement',
    driver: broken({
      source: each((delivery) => {
        let settled = false;
        const once = (settle: () => void) => (): void => {
          if (settled) throw new Error('settled already');
          settled = true;
          settle();
        };
        const nack = once(() => delivery.nack('again', { delayMs: 1 }));
        return altered(delivery, { ack: once(() => delivery.ack()), nack });
      }),
    }),
    caughtBy: '11 does nothing on a second settlement',
    seen: /^A settlement threw; it must never/,
  },
  {
    name: 'has the last settlement win',
    driver: broken({
      source: each((delivery) => altered(delivery, { nack: () => setTimeout(() => delivery.nack('late'), 5) })),
    }),
    caughtBy: '11 does nothing on a second settlement',
    seen: /^a was nacked, then acked, and did not come again/,
  },
  {
    name: 'does not count what came too late',
    driver: broken({ source: muted('stale-settlement') }),
    caughtBy: '11 does nothing on a settlement after the close',
    seen: /telemetry was told of 0/,
  },
  {
    name: 'has a late ack move what another member owns',
    driver: lateAcksCount(),
    caughtBy: '12 ignores an ack for what another member owns',
    seen: /late acks of the first moved what is committed to \[/,
  },
  {
    name: 'ignores maxInFlight',
    driver: broken({ source: without('maxInFlight') }),
    caughtBy: '13 has maxInFlight deliveries out and no more',
    seen: /^50 are out at maxInFlight 10/,
  },
  {
    name: 'stops for good when it is full',
    driver: broken({
      source: (bed, request) => {
        const { maxInFlight = 1_000 } = request;
        return bed.source(request).pipe(mergeMap((delivery, at) => (at < maxInFlight ? of(delivery) : EMPTY)));
      },
    }),
    caughtBy: '13 has maxInFlight deliveries out and no more',
    seen: /^10 came, and 13 were to come at maxInFlight 10/,
  },
  {
    name: 'gives the credit of a nacked message back at once',
    driver: broken({ source: dropsNacks }),
    caughtBy: '13 counts what is nacked and waits as out',
    seen: /at maxInFlight 5, and more came: m5/,
  },
  {
    name: 'ignores maxSpan',
    driver: broken({ source: without('maxSpan') }),
    caughtBy: '13 runs no further than maxSpan',
    seen: /^m0 is unsettled, and at maxSpan 8 so many came: \d+/,
  },
  {
    name: 'loses its partition while it is stalled',
    driver: broken({
      on: ['leases'],
      source: (bed, request) =>
        new Observable((subscriber) => {
          subscriber.add(bed.source(request).subscribe(subscriber));
          // Another member is given half of it.
          subscriber.add(
            timer(MUTANT_TIMINGS.leaseMs).subscribe(() => {
              request.telemetry?.({
                type: 'revoked',
                partition: { topic: request.topic, partition: 0 },
                drained: false,
              });
            }),
          );
        }),
    }),
    caughtBy: '14 keeps what it owns while it is stalled',
    seen: /^It was stalled for 90 ms, and its partition was taken away/,
  },
  {
    name: 'stands still with the first unsettled message',
    driver: broken({ source: given({ maxInFlight: 3 }) }),
    caughtBy: '15 lets the other keys go on',
    seen: /of the other keys only 0 of 20 came/,
  },
  {
    name: 'closes without a drain',
    driver: broken({ source: given({ drainTimeoutMs: 0 }) }),
    caughtBy: '16 drains after an unsubscribe',
    seen: /closed without a drain/,
  },
  {
    name: 'ignores acks that come after the unsubscribe',
    driver: broken({
      source: (bed, request) => {
        let isOver = false;
        return bed.source(request).pipe(
          map((delivery) => altered(delivery, { ack: () => (isOver ? undefined : delivery.ack()) })),
          tap({ unsubscribe: () => (isOver = true) }),
        );
      },
    }),
    caughtBy: '16 drains after an unsubscribe',
    seen: /^a was acked within drainTimeoutMs, and came again/,
  },
  {
    name: 'does not stop',
    driver: broken({ source: without('stop') }),
    caughtBy: '16 on stop gives nothing new',
    seen: /^After stop, with 5 out, it is open and has given: late-0/,
  },
  {
    name: 'hears of a stop only once it reads',
    driver: broken({
      source: (bed, request) =>
        new Observable((subscriber) => {
          const late = new AbortController();
          const source = bed.source({ ...request, stop: late.signal }).pipe(tap((delivery) => delivery.ack()));
          const subscription = source.subscribe(subscriber);
          if ((request.stop as AbortSignal).aborted) late.abort();
          return subscription;
        }),
    }),
    caughtBy: '16 reads nothing and completes',
    seen: /^Stopped before the subscription, it gave: m0/,
  },
  {
    name: 'completes on stop before the work is settled',
    driver: broken({
      source: (bed, request) =>
        new Observable((subscriber) => {
          (request.stop as AbortSignal).addEventListener('abort', () => subscriber.complete());
          return bed.source({ ...request, stop: undefined }).subscribe(subscriber);
        }),
    }),
    caughtBy: '16 on stop gives nothing new',
    seen: /^After stop, with 5 out, it is completed/,
  },
  {
    name: 'waits for acks for ever',
    driver: broken({ source: given({ drainTimeoutMs: 5_000 }) }),
    caughtBy: '17 closes within drainTimeoutMs',
    seen: /does not report that it is closed/,
  },
  {
    name: 'never closes where it was unsubscribed while it connected',
    driver: broken({
      source: (bed, request) => concat(timer(100).pipe(mergeMap(() => EMPTY)), bed.source(request)),
    }),
    caughtBy: '18 closes when it is unsubscribed at once',
    seen: /does not report that it is closed/,
  },
  {
    name: 'closes twice',
    driver: broken({
      source: (bed, request) =>
        bed.source({
          ...request,
          telemetry: (event) => {
            request.telemetry?.(event);
            if (event.type === 'closed') request.telemetry?.(event);
          },
        }),
    }),
    caughtBy: '19 closes once',
    seen: /^It reported its close 2 and 2 times/,
  },
  {
    name: 'reads nothing after a restart of the broker',
    driver: broken({
      on: ['brokerRestart'],
      bed: (bed) => {
        let isDeaf = false;
        return {
          restartBroker: async () => void (isDeaf = true),
          publish: (topic, messages) => (isDeaf ? Promise.resolve() : bed.publish(topic, messages)),
        };
      },
    }),
    caughtBy: '20 goes on after a restart',
    seen: /^20 of 40 were not received: after-0/,
  },
  {
    name: 'commits what it emits, before a partition moves',
    driver: broken({ source: acksEarly }),
    caughtBy: '21 loses nothing where a member joins',
    seen: /were never processed: \d:m\d/,
  },
  {
    name: 'hands over without a drain',
    driver: broken({ source: given({ drainTimeoutMs: 0 }) }),
    caughtBy: '21 repeats nothing where a member joins and leaves',
    seen: /these were started twice/,
  },
  {
    name: 'decodes values as text, on the way to a dead letter',
    driver: broken({ bed: publishing((message) => ({ ...message, value: throughText(message.value) })) }),
    caughtBy: '23 has what cannot be decoded published',
    seen: /was undecodable, and its dead letter holds/,
  },
  {
    name: 'ends the stream for a nack',
    driver: broken({
      source: (bed, request) =>
        new Observable((subscriber) =>
          bed
            .source(request)
            .pipe(map((delivery) => altered(delivery, { fail: (reason: unknown) => subscriber.error(reason) })))
            .subscribe(subscriber),
        ),
    }),
    caughtBy: '24 survives handlers that throw',
    seen: /^The source failed: Error: thrown on purpose/,
  },
  {
    name: 'drops what a handler failed on',
    driver: broken({ source: dropsNacks }),
    caughtBy: '24 survives handlers that throw',
    seen: /^Of 4 messages these are done: works; tried: throws 1 ×/,
  },
  {
    name: 'gives a message twice while it is worked on',
    driver: broken({ source: givesTwice(0) }),
    caughtBy: '25 tries a failing message maxRetries times more',
    seen: /^At maxRetries 2 it was tried \d times and published \d times/,
  },
  ...[
    'the publisher of its dead letter is out',
    'its dead letter fails to be published',
    'its dead letter is refused',
  ].map((caughtBy) => ({
    name: `commits what it emits, while ${caughtBy}`,
    driver: broken({ source: acksEarly }),
    caughtBy: `26 keeps a message unsettled while ${caughtBy}`,
    seen: /is not published, and 2 is committed/,
  })),
  {
    name: 'loses headers, also those of a dead letter',
    driver: broken({ source: each((delivery) => altered(delivery, { headers: {} })) }),
    caughtBy: '27, 33 brings a dead letter',
    seen: /^Of the original, header traceparent was sent as/,
  },
  {
    name: 'changes a header on the way',
    driver: broken({
      bed: (bed) => {
        let sent = 0;
        return publishing((message) => ({
          ...message,
          headers: { ...message.headers, 'dead-letter-source-position': String(sent++) },
        }))(bed);
      },
    }),
    caughtBy: '27 processes a redriven dead letter once',
    seen: /^dead-letter-source-position was '\d', and after a redrive dead-letter-origin-position is '\d'/,
  },
  {
    name: 'drops the second of two that are the same',
    driver: broken({ source: dropsTwins }),
    caughtBy: '28 does not swallow a message',
    seen: /^Committed is \[1\], not \[2\]/,
  },
  {
    name: 'drops the second of two that are in flight together',
    driver: broken({ source: dropsTwins }),
    caughtBy: '28 runs concurrent twins once',
    seen: /^1 of 2 came, 1 are done/,
  },
  {
    name: 'gives everything again that is not acked soon',
    driver: broken({ source: givesTwice(20) }),
    caughtBy: '28 holds everything while the store is down',
    seen: /the source gave [34] deliveries of 2 messages/,
  },
  {
    name: 'drops what was there before',
    driver: broken({ source: dropsTwins }),
    caughtBy: '28 processes a repeat again',
    seen: /^1 of the twins are done, and 0 skipped/,
  },
  ...['after a stop', 'after an unsubscribe'].map((when) => ({
    name: `leaves a timer ${when}`,
    driver: broken({
      source: (bed, request) => bed.source(request).pipe(tap({ subscribe: leaveATimer })),
    }),
    caughtBy: `35 leaves no timer and no socket ${when}`,
    seen: /^Still open although all is closed: an interval/,
  })),
];

function lateAcksCount(): SourceDriver {
  const moved = new Set<number>();
  return broken({
    source: each((delivery) => {
      const { signal, position } = delivery;
      const ack = (): void => {
        if (signal.aborted) moved.add((position as unknown as { partition: number }).partition);
        delivery.ack();
      };
      return altered(delivery, { ack });
    }),
    bed: (bed) => ({
      committed: async (group, topic) =>
        ((await bed.committed?.(group, topic)) ?? []).map((next, partition) => (moved.has(partition) ? 3 : next)),
    }),
  });
}
