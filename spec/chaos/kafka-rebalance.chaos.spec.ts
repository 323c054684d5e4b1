import { expect, it } from '@jest/globals';
import { ackEach, handle, ordered, retryToDlq, type TelemetryEvent } from '../../lib/index.js';
import { fromKafka, kafkaPublisher } from '../../lib/kafka.js';
import { choices } from '../model/random.js';
import { describeKafka } from '../servers/describe-kafka.js';
import { createLedger } from './ledger.js';

const SOAK = process.env['RXSLUICE_SOAK'] === '1';
const ROUNDS = SOAK ? 20 : 4;
const SEED = Number(process.env['RXSLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const MESSAGES_A_ROUND = 4_000;
const KEYS = 1_000;

interface Member {
  readonly name: string;
  /** Ends cleanly; resolves when nothing of it is left. */
  leave(): Promise<void>;
}

describeKafka('rebalances under load (I4, I5)', (kafka) => {
  it(`loses nothing, starts nothing twice and keeps the order of keys while members come and go, ${ROUNDS} rounds`, async () => {
    const choice = choices(SEED);
    const topic = await kafka().createTopic({ partitions: 4 });
    const dlq = await kafka().createTopic({ partitions: 1 });
    const groupId = kafka().groupId();
    const ledger = createLedger();
    const lastOffsets = new Map<string, number>();
    const log: string[] = [`seed ${SEED}`];
    const unordered: string[] = [];
    const begun = performance.now();
    const now = (): number => performance.now() - begun;
    let produced = 0;
    let names = 0;

    const join = (): Member => {
      const name = `m${names++}`;
      const stop = new AbortController();
      log.push(`${Math.round(now())} ${name} joins`);
      let isClosed: () => void;
      const closed = new Promise<void>((resolve) => (isClosed = resolve));
      const telemetry = (event: TelemetryEvent): void => {
        if (event.type === 'closed') isClosed();
        if (!QUIET.has(event.type)) log.push(`${Math.round(now())} ${name} ${JSON.stringify(event)}`);
      };
      const client = kafka().newKafka();
      fromKafka(client, { groupId, topics: [topic], stop: stop.signal, maxInFlight: 256, telemetry })
        .pipe(
          ordered({ by: 'key' }),
          retryToDlq({ deadLetters: kafkaPublisher(client, { topic: dlq }) }),
          handle(
            async (_value, { id, key, position }) => {
              ledger.started(id, name, now());
              await new Promise((resolve) => setTimeout(resolve, 5 + 45 * choice.next()));
              ledger.done(id, name, now());
              const lane = `${position.partition}/${String(key)}`;
              const offset = Number(position.offset);
              if ((lastOffsets.get(lane) ?? -1) > offset) unordered.push(`${lane} at ${offset}`);
              lastOffsets.set(lane, offset);
            },
            { concurrency: 64 },
          ),
          ackEach(),
        )
        .subscribe({ error: (error: unknown) => log.push(`${name} failed: ${String(error)}`) });
      return {
        name,
        leave: async () => {
          log.push(`${Math.round(now())} ${name} leaves`);
          stop.abort();
          await closed;
          log.push(`${Math.round(now())} ${name} has left`);
        },
      };
    };

    const members = [join(), join()];
    for (let round = 0; round < ROUNDS; round++) {
      await kafka().produce(topic, MESSAGES_A_ROUND, {
        first: produced,
        key: () => `key-${choice.below(KEYS)}`,
      });
      produced += MESSAGES_A_ROUND;
      await pause(400 + 1_200 * choice.next());
      if (members.length < 3 || (members.length < 4 && choice.next() < 0.5)) members.push(join());
      else await (members.splice(choice.below(members.length), 1)[0] as Member).leave();
    }
    await until(() => ledger.doneCount >= produced, 600_000);
    await Promise.all(members.map((member) => member.leave()));

    const report = `${log.join('\n')}\n${ledger.repeated.slice(0, 20).map(ledger.story).join('\n')}`;
    expect({
      lost: produced - ledger.doneCount,
      repeated: ledger.repeated.length,
      unordered,
      ...(ledger.repeated.length > 0 || ledger.doneCount < produced ? { report } : {}),
    }).toEqual({ lost: 0, repeated: 0, unordered: [] });
    const committed = await kafka().committed(groupId, topic);
    expect(committed.map((offset) => offset ?? 0n)).toEqual(await kafka().endOffsets(topic));
  }, 3_600_000);
});

const QUIET = new Set(['received', 'settled', 'lag', 'quiet']);

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(holds: () => boolean, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!holds() && performance.now() < end) await pause(50);
}
