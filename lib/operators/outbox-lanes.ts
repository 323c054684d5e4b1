import { outboxShape, type RelayRecord } from './outbox-shape.js';

/** Lets one record of each lane through at a time: the next one follows once the one before is settled. @internal */
export interface OutboxLanes {
  /** How many bytes wait. */
  readonly bytes: number;
  /** Those that may go at once; the others wait behind them. */
  admit(records: readonly RelayRecord[]): RelayRecord[];
  /** The record is published or dead: what may go now, if anything. */
  next(record: RelayRecord): RelayRecord | undefined;
  /** The record will go again: takes out what waits behind it. */
  clear(record: RelayRecord): readonly RelayRecord[];
  /** The record goes back unpublished: what waits behind it does too. */
  drop(record: RelayRecord): readonly RelayRecord[];
}

/** @internal */
export function outboxLanes(): OutboxLanes {
  // A lane is in here for as long as one of its records is out.
  const waiting = new Map<string, RelayRecord[]>();
  let bytes = 0;
  const count = (sign: 1 | -1, records: readonly RelayRecord[]): void => {
    for (const record of records) bytes += sign * outboxShape.bytes(record);
  };
  const queueOf = (record: RelayRecord): RelayRecord[] => {
    const { lane } = record.row;
    const queue = lane === null ? undefined : waiting.get(lane);
    return queue ?? [];
  };
  return {
    get bytes() {
      return bytes;
    },
    admit: (records) =>
      records.filter((record) => {
        const { lane } = record.row;
        if (lane === null) return true;
        const queue = waiting.get(lane);
        if (queue === undefined) waiting.set(lane, []);
        else {
          queue.push(record);
          count(1, [record]);
        }
        return queue === undefined;
      }),
    next: (record) => {
      const follower = queueOf(record).shift();
      if (follower !== undefined) count(-1, [follower]);
      if (follower === undefined && record.row.lane !== null) waiting.delete(record.row.lane);
      return follower;
    },
    clear: (record) => {
      const left = queueOf(record).splice(0);
      count(-1, left);
      return left;
    },
    drop: (record) => {
      const left = queueOf(record);
      count(-1, left);
      if (record.row.lane !== null) waiting.delete(record.row.lane);
      return left;
    },
  };
}
