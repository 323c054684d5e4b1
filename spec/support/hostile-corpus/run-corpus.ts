import { from, lastValueFrom, type Observable } from 'rxjs';
import { tellError } from '../../../lib/core/told-error.js';
import {
  isSluiceError,
  type DeadLetterFormat,
  type Delivery,
  type Message,
  type Position,
  type Publisher,
  type PublisherConnection,
  type PublishOutcome,
  type SourceOptions,
  type TelemetryEvent,
} from '../../../lib/index.js';
import { printedBy, textsOfError, textsOfEvent } from '../../secrets/our-texts.js';
import { until } from '../until.js';
import { goodMessage, keyOf, type CorpusItem } from './corpus.js';
import { CANARY, type CorpusEntry, type Fate } from './entry.js';
import { measurePeak, type Peak } from './peak-memory.js';
import { pipeline } from './pipeline.js';

/** A dead letter as its topic has it. */
export interface Letter {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly bytes: number;
}

/** A broker with a topic to read and one for dead letters. */
export interface CorpusDriver {
  readonly publisher: Publisher<Message>;
  readonly deadLetters: Publisher<Message>;
  source(
    options: Pick<SourceOptions, 'telemetry' | 'stop' | 'lagEveryMs' | 'until'>,
  ): Observable<Delivery<Uint8Array | null>>;
  /** The `id` that a delivery of what was published has. */
  idOf(position: Position): string;
  /** Sends an entry as it is, and answers with the ids; rejects where the broker takes none such. */
  sendRaw?(entry: CorpusEntry): Promise<readonly string[]>;
  letters(): Promise<readonly Letter[]>;
  /** How many messages are left to whoever reads next, of the same group. */
  leftOver(): Promise<number>;
}

/** The fates of all. */
export interface CorpusRun {
  readonly fates: Readonly<Record<string, Fate>>;
  /** The numbers of the good ones that are done. */
  readonly good: readonly number[];
  /** Good ones of a key that were done before one that was published before them. */
  readonly outOfOrder: readonly number[];
  /** Settlements of a message that was settled before. */
  readonly repeats: number;
  readonly letters: number;
  /** Letters that say where they come from no more, and dead letters that have none which does. */
  readonly nameless: readonly [letters: number, dead: number];
  /** Ids of letters of which nothing was read. */
  readonly strangers: readonly string[];
  /** How the stream ended. */
  readonly end: unknown;
  /** In flight and buffered at the last look, before the stop. */
  readonly held: number;
  readonly leftOver: number;
  /** Texts of ours in which a payload shows. */
  readonly leaks: readonly string[];
  /** Errors of publishers that are not ours. */
  readonly untyped: readonly string[];
  readonly unhandled: readonly unknown[];
  readonly peak: Peak;
}

const MOST_A_CALL = 200;
const MOST_BYTES_A_CALL = 1_000_000;
const LAG_EVERY_MS = 100;
const PATIENCE_MS = 60_000;
const ORIGIN = ['dead-letter-source-topic', 'dead-letter-source-partition', 'dead-letter-source-position'];

/** Sends all of it while it is read, until nothing is open any more, and stops. */
export async function runCorpus(
  driver: CorpusDriver,
  items: readonly CorpusItem[],
  format: DeadLetterFormat,
): Promise<CorpusRun> {
  const peak = measurePeak();
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  const reading = read(driver, format);
  let sent: Sent | null = null;
  const printed = await printedBy(async () => {
    sent = await send(driver, items);
    const { ids } = sent;
    await until('all is settled', () => reading.isOver() || reading.isSettled(ids), PATIENCE_MS).catch(() => undefined);
    reading.lookAgain();
    await until('nothing is held', () => reading.isOver() || reading.held() === 0, PATIENCE_MS).catch(() => undefined);
  });
  const held = reading.held();
  printed.push(...(await printedBy(() => reading.stop())));
  const { ids, refused, untyped } = sent as unknown as Sent;
  const letters = await driver.letters();
  const measured = peak.end();
  process.off('unhandledRejection', note);
  const accounts = account(ids, reading, letters);
  return {
    ...accounts,
    fates: Object.fromEntries([...tell(refused), ...accounts.fates]),
    letters: letters.length,
    repeats: reading.repeats(),
    end: reading.end(),
    held,
    leftOver: await driver.leftOver().catch(() => NaN),
    leaks: [...printed.filter((text) => text.includes(CANARY)), ...reading.leaks, ...sentLeaks(refused)],
    untyped,
    unhandled,
    peak: measured,
  };
}

/**
 * Looks at all that is printed with nothing configured: there is no telemetry, so that process warnings tell of failures. All is sent first, then read
 * to the end.
 */
export async function printedWithoutTelemetry(
  driver: CorpusDriver,
  items: readonly CorpusItem[],
  format: DeadLetterFormat,
): Promise<readonly string[]> {
  await send(driver, items);
  const source = driver.source({ until: 'end' });
  return printedBy(() => lastValueFrom(pipeline(source, driver.deadLetters, format), { defaultValue: null }));
}

type Refusals = Map<string, { readonly fate: Fate; readonly error: unknown }[]>;

interface Sent {
  /** Whose message each is. */
  readonly ids: Map<string, CorpusItem>;
  readonly refused: Refusals;
  readonly untyped: string[];
}

async function send(driver: CorpusDriver, items: readonly CorpusItem[]): Promise<Sent> {
  const sent: Sent = { ids: new Map(), refused: new Map(), untyped: [] };
  const { connection, close } = await connect(driver.publisher);
  let waiting: { readonly item: CorpusItem; readonly message: Message }[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    const together = waiting;
    waiting = [];
    bytes = 0;
    if (together.length === 0) return;
    const call = lastValueFrom(from(connection.publish(together.map(({ message }) => message))));
    const outcomes = await call.catch((error: unknown) =>
      together.map(() => ({ status: 'whole call', error }) as never),
    );
    together.forEach(({ item }, index) => noteOutcome(driver, sent, item, outcomes[index]));
  };
  for (const item of items) {
    if (typeof item !== 'number' && item.raw !== undefined) {
      await flush();
      await sendRaw(driver, sent, item);
      continue;
    }
    const made = typeof item === 'number' ? goodMessage(item) : item.make();
    const messages = typeof item === 'number' || item.count === undefined ? [made] : (made as unknown[]);
    for (const message of messages as Message[]) {
      waiting.push({ item, message });
      bytes += lengthOf(message);
      const most = typeof item === 'number' ? MOST_A_CALL : Math.max(MOST_A_CALL, item.count ?? 1);
      if (waiting.length >= most || bytes > MOST_BYTES_A_CALL) await flush();
    }
  }
  await flush();
  close();
  return sent;
}

function noteOutcome(driver: CorpusDriver, sent: Sent, item: CorpusItem, outcome: PublishOutcome | undefined): void {
  if (outcome?.status === 'ok' && outcome.position !== undefined) {
    sent.ids.set(driver.idOf(outcome.position), item);
    return;
  }
  const error: unknown = outcome?.status === 'ok' || outcome === undefined ? undefined : outcome.error;
  const code = isSluiceError(error) ? error.code : 'untyped';
  if (code === 'untyped') sent.untyped.push(`${nameOfItem(item)}: ${String(outcome?.status)}`);
  refuse(sent.refused, item, { fate: `refused ${code}`, error });
}

async function sendRaw(driver: CorpusDriver, sent: Sent, entry: CorpusEntry): Promise<void> {
  try {
    for (const id of (await driver.sendRaw?.(entry)) ?? []) sent.ids.set(id, entry);
  } catch (error) {
    refuse(sent.refused, entry, { fate: 'refused by the broker', error });
  }
}

function refuse(refused: Refusals, item: CorpusItem, refusal: { readonly fate: Fate; readonly error: unknown }): void {
  add(refused, nameOfItem(item), refusal);
}

function nameOfItem(item: CorpusItem): string {
  return typeof item === 'number' ? `good ${item}` : item.name;
}

function tell(refused: Refusals): [string, Fate][] {
  return [...refused].map(([name, refusals]) => [name, together(refusals.map(({ fate }) => fate))]);
}

function sentLeaks(refused: Refusals): string[] {
  return [...refused.values()]
    .flat()
    .flatMap(({ error }) => textsOfError(error).filter((text) => text.includes(CANARY)));
}

async function connect(
  publisher: Publisher<Message>,
): Promise<{ readonly connection: PublisherConnection; close(): void }> {
  let close = (): void => undefined;
  const connection = await new Promise<PublisherConnection>((resolve, reject) => {
    const open = publisher.connect().subscribe({ next: resolve, error: reject });
    close = () => open.unsubscribe();
  });
  return { connection, close: () => close() };
}

// It may be no message at all: no getter is asked, and no Proxy.
function lengthOf(message: unknown): number {
  try {
    const value: unknown = Object.getOwnPropertyDescriptor(message, 'value')?.value;
    return typeof value === 'string' ? value.length : ArrayBuffer.isView(value) ? value.byteLength : 0;
  } catch {
    return 0;
  }
}

interface Settlement {
  readonly outcome: string;
  readonly nth: number;
}

function read(driver: CorpusDriver, format: DeadLetterFormat) {
  const settled = new Map<string, Settlement>();
  const reasons = new Map<string, unknown>();
  const held = new Map<unknown, number>();
  const leaks: string[] = [];
  const ends: unknown[] = [];
  let repeats = 0;
  let isClosed = false;
  const quiet = new Set<TelemetryEvent['type']>(['received', 'settled', 'lag', 'quiet']);
  const telemetry = (event: TelemetryEvent): void => {
    if (event.type === 'settled') {
      if (settled.has(event.message.id)) repeats++;
      else settled.set(event.message.id, { outcome: event.outcome, nth: settled.size });
    }
    if (event.type === 'dead-lettered') reasons.set(event.message.id, event.reason);
    if (event.type === 'lag') held.set(event.partition.partition, event.inFlight + event.bufferedMessages);
    if (event.type === 'closed') isClosed = true;
    if (!quiet.has(event.type)) leaks.push(...textsOfEvent(event).filter((text) => text.includes(CANARY)));
  };
  const stop = new AbortController();
  const source = driver.source({ telemetry, stop: stop.signal, lagEveryMs: LAG_EVERY_MS });
  pipeline(source, driver.deadLetters, format).subscribe({
    error: (error: unknown) => ends.push(error),
    complete: () => ends.push('complete'),
  });
  return {
    settled,
    reasons,
    leaks,
    repeats: () => repeats,
    isOver: () => ends.length > 0,
    isSettled: (ids: ReadonlyMap<string, CorpusItem>) => {
      if (settled.size < ids.size) return false;
      for (const id of ids.keys()) if (!settled.has(id)) return false;
      return true;
    },
    /** From now on all that is told counts. */
    lookAgain: () => held.clear(),
    held: () => (held.size === 0 ? NaN : [...held.values()].reduce((sum, each) => sum + each, 0)),
    end: () => (ends.length === 1 ? ends[0] : ends),
    stop: async (): Promise<void> => {
      stop.abort();
      await until('it is closed', () => isClosed && ends.length > 0, PATIENCE_MS);
    },
  };
}

function account(ids: Sent['ids'], { settled, reasons }: ReturnType<typeof read>, letters: readonly Letter[]) {
  const named = new Map<string, Letter>();
  let nameless = 0;
  for (const letter of letters) {
    const origin = ORIGIN.map((name) => letter.headers[name]);
    if (origin.includes(undefined)) nameless++;
    else named.set(origin.map(String).join('/'), letter);
  }
  const fates = new Map<string, Fate[]>();
  const good: number[] = [];
  const last = new Map<string, number>();
  const outOfOrder: number[] = [];
  let unnamed = 0;
  const done = [...settled].filter(([, { outcome }]) => outcome === 'done');
  for (const [id] of done) {
    const number = ids.get(id);
    if (typeof number !== 'number') continue;
    good.push(number);
    const key = keyOf(number);
    if ((last.get(key) ?? -1) > number) outOfOrder.push(number);
    last.set(key, number);
  }
  for (const [id, item] of ids) {
    const { outcome = 'held' } = settled.get(id) ?? {};
    if (typeof item === 'number' && outcome === 'done') continue;
    const letter = named.get(id);
    if (outcome === 'dead-lettered' && letter === undefined) unnamed++;
    const fate = outcome === 'dead-lettered' ? letterFate(letter, reasons.get(id)) : outcome;
    add(fates, nameOfItem(item), fate);
  }
  return {
    good,
    outOfOrder,
    nameless: [nameless, unnamed] as const,
    strangers: [...named.keys()].filter((id) => !ids.has(id)),
    fates: [...fates].map(([name, its]) => [name, together(its)] as const),
  };
}

function letterFate(letter: Letter | undefined, reason: unknown): Fate {
  const told = letter?.headers['dead-letter-error-class'];
  const digest = letter?.headers['dead-letter-value-sha256'] === undefined ? '' : ', its digest alone';
  return `letter ${typeof told === 'string' ? told : tellError(reason).name}${digest}`;
}

/** `done`, or `done × 2, letter Error × 1`. */
function together(fates: readonly Fate[]): Fate {
  const counts = new Map<Fate, number>();
  for (const fate of fates) counts.set(fate, (counts.get(fate) ?? 0) + 1);
  if (fates.length === 1) return fates[0] as Fate;
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([fate, count]) => `${fate} × ${count}`)
    .join(', ');
}

function add<T>(lists: Map<string, T[]>, name: string, value: T): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [value]);
  else list.push(value);
}
