import { asyncScheduler, type Subscription } from 'rxjs';

/** Acks in the order of their keys: with exactly-once delivery the service refuses one that overtakes another of its key. @internal */
export interface AckOrder {
  /** Runs `ack` once what was sent of the key has been answered; what waits for that goes together. Resolves as `ack` does. */
  send(key: string | null, ack: () => Promise<unknown>): Promise<unknown>;
}

/** Far more than an answer takes: what has none by then may be refused until one is acked that waits for it here. */
const PATIENCE_MS = 2_000;

/** What waits behind what is under way of a key. */
interface Turn {
  readonly waiting: (() => Promise<unknown>)[];
  patience: Subscription | null;
}

/** @internal */
export function createAckOrder(): AckOrder {
  const turns = new Map<string, Turn>();

  const run = (key: string, acks: readonly (() => Promise<unknown>)[]): void => {
    const turn: Turn = { waiting: [], patience: null };
    turns.set(key, turn);
    void Promise.allSettled(acks.map((ack) => ack())).then(() => goOn(key, turn));
  };

  const goOn = (key: string, turn: Turn): void => {
    if (turns.get(key) !== turn) return;
    turn.patience?.unsubscribe();
    if (turn.waiting.length === 0) turns.delete(key);
    else run(key, turn.waiting);
  };

  return {
    send: (key, ack) => {
      if (key === null) return ack();
      return new Promise((resolve, reject) => {
        const mine = (): Promise<unknown> => {
          const sent = ack();
          sent.then(resolve, reject);
          return sent;
        };
        const turn = turns.get(key);
        if (turn === undefined) {
          run(key, [mine]);
          return;
        }
        turn.waiting.push(mine);
        turn.patience ??= asyncScheduler.schedule(() => goOn(key, turn), PATIENCE_MS);
      });
    },
  };
}
