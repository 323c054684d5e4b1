// An alarm on the lag: a handler hangs, 5,000 orders wait, somebody is called; it goes on, and the alarm is over.
import { firstValueFrom, lastValueFrom, Subject } from 'rxjs';
import { ackEach, handle, publish } from 'rxsluice';
import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';
import { lagAlarm } from './lag-alarm.js';

const broker = memoryBroker({ topics: { orders: {} } });
const backEnd = new Subject<void>();
const alarms = new Subject<string>();
const stop = new AbortController();

const done = lastValueFrom(
  fromMemory(broker, {
    groupId: 'billing',
    topics: ['orders'],
    maxInFlight: 64,
    stop: stop.signal,
    // The defaults are 5,000 and a minute.
    lagEveryMs: 100,
    telemetry: lagAlarm({
      mostMessages: 1_000,
      forMs: 300,
      raise: (partition, why) => alarms.next(`alarm for ${partition}: ${why}`),
      clear: (partition) => alarms.next(`${partition} has caught up`),
    }),
  }).pipe(
    // Once the back end has completed, this answers at once.
    handle(() => firstValueFrom(backEnd, { defaultValue: 'charged' }), { concurrency: 16 }),
    ackEach(),
  ),
  { defaultValue: null },
);

const orders = Array.from({ length: 5_000 }, (_, n) => ({ key: `shop-${n % 7}`, value: `order-${n}` }));
await lastValueFrom(publish(memoryPublisher(broker, { topic: 'orders' }), orders));
console.log(await firstValueFrom(alarms));
const over = firstValueFrom(alarms);
backEnd.complete();
console.log(await over);
stop.abort();
await done;
