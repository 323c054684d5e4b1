/** How large the groups of `withOutbox` are, and how many run at once. @internal */
export interface OutboxPace {
  readonly maxBatch: number;
  readonly maxCalls: number;
  /** How far it is narrowed, from 0. Whoever tells how a call went says at which step that began. */
  readonly step: number;
  /** Whether it matters that a call went well. */
  readonly listens: boolean;
  /** A group was in the way of another transaction, or that in its way. */
  conflict(step: number): void;
  wentWell(step: number): void;
}

const PATIENCE = 16;
const MOST_PATIENCE = 1_024;

/**
 * A group keeps the rows of all its messages locked until it commits. So where many messages write a few rows, groups that run side by
 * side deadlock, and each deadlock costs `deadlock_timeout` of the server, a second. After the first conflict one group runs at a time,
 * as large as before: only transactions of others are in its way then. After each further one groups are half as large, down to single
 * messages, which run side by side again. After 16 calls that went well it is one step back, and after twice as many where the step before
 * was too early.
 * @internal
 */
export function outboxPace(group: number, concurrency: number): OutboxPace {
  const alone = concurrency > 1 ? 1 : 0;
  const last = group > 1 ? alone + Math.ceil(Math.log2(group)) : 0;
  let step = 0;
  let well = 0;
  let patience = PATIENCE;
  let widened = false;
  const sizeAt = (now: number): number => Math.ceil(group / 2 ** Math.max(0, now - alone));
  return {
    get maxBatch() {
      return sizeAt(step);
    },
    get maxCalls() {
      return step === 0 || step === last ? concurrency : 1;
    },
    get step() {
      return step;
    },
    get listens() {
      return step > 0 || widened;
    },
    conflict: (began) => {
      // A call that began before the last step says nothing of it.
      if (began !== step || step === last) return;
      if (widened) patience = Math.min(2 * patience, MOST_PATIENCE);
      widened = false;
      step++;
      well = 0;
    },
    wentWell: (began) => {
      if (began !== step || ++well < patience) return;
      well = 0;
      widened = step > 0;
      if (widened) step--;
      else patience = PATIENCE;
    },
  };
}
