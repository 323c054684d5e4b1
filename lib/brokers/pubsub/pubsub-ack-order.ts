/** Acks in the order of their keys: with exactly-once delivery the service refuses one that overtakes another of its key. @internal */
export interface AckOrder {
  /** Runs `ack` once what was sent of the key has been answered; what waits for that goes together. Resolves as `ack` does. */
  send(key: string | null, ack: () => Promise<unknown>): Promise<unknown>;
}

/** @internal */
export function createAckOrder(): AckOrder {
  // What waits behind what is under way, by key.
  const busy = new Map<string, (() => Promise<unknown>)[]>();

  const run = (key: string, acks: readonly (() => Promise<unknown>)[]): void => {
    busy.set(key, []);
    void Promise.allSettled(acks.map((ack) => ack())).then(() => {
      const waiting = busy.get(key) ?? [];
      if (waiting.length === 0) busy.delete(key);
      else run(key, waiting);
    });
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
        const waiting = busy.get(key);
        if (waiting === undefined) run(key, [mine]);
        else waiting.push(mine);
      });
    },
  };
}
