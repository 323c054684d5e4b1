import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { SubscriptionOptions } from '@google-cloud/pubsub';
import type { PubSubBed } from './pubsub-bed.js';
import { consume } from './pubsub-consume.js';
import { stall } from './pubsub-stall.js';

/**
 * Who reads: the bare client by its `message` event, or `fromPubSub` in one of its modes; `few` streams over two streams, `ahead`
 * with as much out beside the bound as the bare client has, each of whose streams is given the whole of it.
 */
export type PubSubReader = 'bare' | 'streaming' | 'few' | 'ahead' | 'pull';

/** The part of the bare client's settings that decides its speed. */
export type BareSettings = Required<Pick<SubscriptionOptions, 'batching' | 'streamingOptions'>> & {
  readonly allowExcessMessages: boolean;
};

/** One piece of work for a contender's process. */
export interface PubSubTask {
  readonly bed: PubSubBed;
  readonly endpoint: string;
  readonly subscription: string;
  readonly reader: PubSubReader;
  /** Of the bare client. */
  readonly settings: BareSettings;
  /** The window of HTTP/2, in bytes. Default: Node's own, 65,535. */
  readonly window?: number | undefined;
  /** How many messages may be in flight. */
  readonly bound: number;
  /** Acks at once, after a millisecond, or never. */
  readonly work: 'sync' | 'async' | 'never';
  /** How many are consumed, or lie there where nothing is ever done. */
  readonly messages: number;
}

/** What it took to consume and ack all messages, from the first of them until the reader was closed. */
export interface Taken {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** How many messages the handler had at once, at most. */
  readonly peak: number;
}

/** What a reader whose handler never ends came to hold. */
export interface Stalled {
  readonly rssMb: number;
  /** Of what it had before it read. */
  readonly grownMb: number;
  /** How many messages the handler was given. */
  readonly given: number;
}

/** A process of its own for one reader: neither the compiler's knowledge nor the heap is shared. */
export interface PubSubContender {
  consume(task: PubSubTask): Promise<Taken>;
  stall(task: PubSubTask): Promise<Stalled>;
  end(): Promise<void>;
}

/** Starts this bundle again, as a contender. */
export function startPubSubContender(): PubSubContender {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), ['--contender']);
  const ended = once(child, 'exit');
  const ask = async (task: PubSubTask): Promise<unknown> => {
    const answered = once(child, 'message');
    child.send(task);
    const [answer] = (await Promise.race([answered, ended.then(() => ['its process ended'])])) as unknown[];
    if (typeof answer === 'string') throw new Error(`${task.reader}: ${answer}`);
    return answer;
  };
  return {
    consume: (task) => ask(task) as Promise<Taken>,
    stall: (task) => ask({ ...task, work: 'never' }) as Promise<Stalled>,
    end: async () => {
      child.disconnect();
      await ended;
    },
  };
}

/** Whether this process is a contender; then it works until its parent lets go. */
export function servesPubSub(): boolean {
  if (!process.argv.includes('--contender')) return false;
  process.on('message', (task: PubSubTask) => {
    const worked: Promise<Taken | Stalled> = task.work === 'never' ? stall(task) : consume(task);
    void worked.then(
      (answer) => process.send?.(answer),
      (error: unknown) => process.send?.(inspect(error)),
    );
  });
  process.on('disconnect', () => process.exit());
  return true;
}
