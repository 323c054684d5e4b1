import { Observable, Subject } from 'rxjs';
import type { Delivery, Position, Publisher } from 'rxsluice';
import { logSource, type RecordShape } from 'rxsluice/broker';
import type { Spike } from './spike.js';

const MESSAGES = 1_000_000;
const KEYS = 10_000;
const CHUNK = 8_000;
const MAX_IN_FLIGHT = 512;

export interface BenchRecord {
  readonly offset: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

const encoder = new TextEncoder();
const keys = Array.from({ length: KEYS }, (_, i) => encoder.encode(`key-${i}`));
const value = encoder.encode('{"x":1}');

/** The same records for both sides, made once. */
const records: readonly BenchRecord[] = Array.from({ length: MESSAGES }, (_, i) => ({
  offset: String(i),
  key: keys[i % KEYS] as Uint8Array,
  value,
}));

const shape: RecordShape<BenchRecord, Position> = {
  value: (record) => record.value,
  key: (record) => record.key,
  headers: () => ({}),
  timestamp: () => 0,
  position: () => ({ broker: 'bench' }),
  positionText: (record) => record.offset,
  bytes: (record) => record.key.length + record.value.length,
};

/** All records, pushed at once in chunks, as a fetch brings them. */
export function sluiceSource(): Observable<Delivery<Uint8Array | null>> {
  return logSource<BenchRecord, Position>({
    name: 'bench',
    options: { maxInFlight: MAX_IN_FLIGHT },
    shape,
    connect: (engine) => ({
      start: () => {
        const partition = engine.assign({ topic: 't', partition: 0 });
        for (let i = 0; i < MESSAGES; i += CHUNK) engine.push(partition, records.slice(i, i + CHUNK));
        engine.end();
      },
      demand: () => undefined,
      commit: () => [],
      close: () => [],
    }),
  });
}

export function spikeSource({ core }: Spike): Observable<unknown> {
  return new Observable((subscriber) => {
    const session = new core.Session(
      subscriber,
      { maxInFlight: MAX_IN_FLIGHT },
      { commit: () => undefined, close: (done: () => void) => done() },
    );
    subscriber.add(() => session.unsubscribe());
    const partition = session.assign('t', 0);
    session.cork();
    for (let i = 0; i < MESSAGES; i += CHUNK) partition.push(records.slice(i, i + CHUNK));
    session.inputEnded = true;
    session.pump();
    session.uncork();
  });
}

/** What a bare Subject costs: no acks, no bound, no order. */
export function subjectSource(): Observable<BenchRecord> {
  return new Observable((subscriber) => {
    const subject = new Subject<BenchRecord>();
    subscriber.add(subject.subscribe(subscriber));
    for (const record of records) subject.next(record);
    subject.complete();
  });
}

/** Confirms at once; the benchmarks never send it anything. */
export const noLetters: Publisher = {
  connect: () =>
    new Observable((subscriber) => {
      subscriber.next({ publish: (messages) => [messages.map(() => ({ status: 'ok' as const }))] });
    }),
};

/** Runs a pipeline to its end; nanoseconds a message. */
export function timed(pipeline: () => Observable<unknown>): Promise<number> {
  return new Promise((resolve, reject) => {
    let seen = 0;
    const began = process.hrtime.bigint();
    pipeline().subscribe({
      next: () => void seen++,
      error: reject,
      complete: () => {
        const took = Number(process.hrtime.bigint() - began);
        if (seen === MESSAGES) resolve(took / MESSAGES);
        else reject(new Error(`${seen} of ${MESSAGES} messages came through`));
      },
    });
  });
}
