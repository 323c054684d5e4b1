import { Duration, PubSub, type Subscription } from '@google-cloud/pubsub';
import { ackEach, handle } from '../lib/index.js';
import { fromPubSub, type PubSubPosition } from '../lib/pubsub.js';
import { refuseOtherPubSub } from '../spec/servers/pubsub/refuse-other-pubsub.js';
import type { PubSubTask, Taken } from './pubsub-contender.js';

const CLOSE_S = 30;
const WORK_MS = 1;

let touched = 0;
let client: PubSub | undefined;

/** The one client of this process, so that a round does not begin with a connection. */
function pubsubAt({ bed, endpoint, window }: PubSubTask): PubSub {
  refuseOtherPubSub(endpoint);
  if (client === undefined) {
    const far = window === undefined ? {} : { 'grpc-node.flow_control_window': window };
    client = new PubSub({ projectId: 'demo', apiEndpoint: endpoint, emulatorMode: true, ...far });
    client.isEmulator = bed === 'emulator';
  }
  return client;
}

/** Consumes and acks as many messages as the task has. */
export async function consume(task: PubSubTask): Promise<Taken> {
  const meter = createMeter();
  await (task.reader === 'bare' ? bare(task, meter) : ours(task, meter));
  return meter.taken();
}

/** A subscription object of the bare client, with its settings for the bound. */
export function bareSubscription(task: PubSubTask): Subscription {
  const { subscription, settings, bound } = task;
  const { allowExcessMessages, ...others } = settings;
  return pubsubAt(task).subscription(subscription, {
    ...others,
    flowControl: { maxMessages: bound, allowExcessMessages },
    closeOptions: { behavior: 'WAIT', timeout: Duration.from({ seconds: CLOSE_S }) },
  });
}

/** `fromPubSub`, as the task has it. */
export function sluice(task: PubSubTask, stop?: AbortSignal): ReturnType<typeof fromPubSub> {
  const { subscription, reader, bound, settings } = task;
  return fromPubSub(pubsubAt(task).subscription(subscription), {
    mode: reader === 'pull' ? 'pull' : 'streaming',
    maxInFlight: bound,
    ...(reader === 'few' && { maxStreams: 2 }),
    ...(reader === 'ahead' && { readAhead: bound * ((settings.streamingOptions.maxStreams ?? 1) - 1) }),
    ...(stop && { stop }),
  });
}

async function bare(task: PubSubTask, meter: Meter): Promise<void> {
  const { messages, work } = task;
  const subscription = bareSubscription(task);
  let done = 0;
  await new Promise<void>((resolve, reject) => {
    const finished = (): void => {
      if (++done < messages) return;
      meter.last();
      resolve();
    };
    subscription.on('error', reject);
    subscription.on('message', (message) => {
      meter.begin();
      touched += message.data[0] ?? 0;
      if (work === 'sync') {
        meter.end();
        message.ack();
        finished();
        return;
      }
      void later().then(() => {
        meter.end();
        message.ack();
        finished();
      });
    });
  });
  await subscription.close();
  if (done !== messages) throw new Error(`${done} of ${messages} messages came`);
}

function ours(task: PubSubTask, meter: Meter): Promise<void> {
  const { bound, messages, work } = task;
  const stop = new AbortController();
  let done = 0;
  const source = sluice(task, stop.signal);
  const touch = (value: Uint8Array | null): void => {
    meter.begin();
    touched += value?.[0] ?? 0;
  };
  const atOnce = (value: Uint8Array | null): void => {
    touch(value);
    meter.end();
  };
  const afterwards = (value: Uint8Array | null): Promise<void> => {
    touch(value);
    return later().then(meter.end);
  };
  const acked = source.pipe(
    handle<Uint8Array | null, void, PubSubPosition>(work === 'sync' ? atOnce : afterwards, { concurrency: bound }),
    ackEach(),
  );
  return new Promise((resolve, reject) => {
    acked.subscribe({
      next: () => {
        if (++done < messages) return;
        meter.last();
        stop.abort();
      },
      error: reject,
      complete: () => {
        if (done === messages) resolve();
        else reject(new Error(`${done} of ${messages} messages came`));
      },
    });
  });
}

function later(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, WORK_MS));
}

interface Meter {
  /** A handler begins; the first one starts the clock. */
  begin(): void;
  end(): void;
  /** The last message is acked. How long a reader takes to close is no part of its speed: a pull that waits for messages may take seconds. */
  last(): void;
  taken(): Taken;
}

function createMeter(): Meter {
  let begun = 0;
  let cpu: NodeJS.CpuUsage;
  let running = 0;
  let peak = 0;
  let taken: Taken | undefined;
  return {
    begin: () => {
      if (begun === 0) {
        begun = performance.now();
        cpu = process.cpuUsage();
      }
      if (++running > peak) peak = running;
    },
    end: () => void running--,
    last: () => {
      const { user, system } = process.cpuUsage(cpu);
      taken = { seconds: (performance.now() - begun) / 1_000, cpuSeconds: (user + system) / 1e6, peak };
    },
    taken: () => {
      if (taken === undefined || touched < 0) throw new Error('Not all messages came.');
      return taken;
    },
  };
}
