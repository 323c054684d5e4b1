import { asyncScheduler, Subscription } from 'rxjs';
import { retire } from './assignment.js';
import { discardPending, releaseParked } from './lifecycle.js';
import { closePartition, onEpochClose, refOf, type Partition } from './partition.js';
import { corked, pump } from './pump.js';
import { notify } from './telemetry.js';

// What a cut-off drain still waits for its last commit.
const COMMIT_GRACE_MS = 1_000;

/**
 * Hands a partition back in good order (I4): intake stops, what is not started is let go, started work may settle
 * within the drain time-out, the watermark is committed, the epoch closes, then `done` is called.
 * @internal
 */
export function revoke(
  partition: Partition,
  done: () => void,
  drainTimeoutMs = partition.session.options.drainTimeoutMs,
): void {
  if (partition.closed) {
    done();
    return;
  }
  if (!partition.live) {
    onEpochClose(partition, done);
    return;
  }
  const { session } = partition;
  const timers = new Subscription();
  let drained = false;
  onEpochClose(partition, () => {
    timers.unsubscribe();
    notify(session, { type: 'revoked', partition: refOf(partition), drained });
  });
  // After that: the adapter may have it assigned to another member at once, who then says so.
  onEpochClose(partition, done);
  const end = (): void => {
    corked(session, () => closePartition(partition));
    pump(session);
  };
  const settleUp = (graceMs: number): void => {
    partition.finishDrain = null;
    timers.add(asyncScheduler.schedule(end, graceMs));
    session.engine.settleUp([partition], end);
  };
  partition.live = false;
  retire(partition);
  session.draining.add(partition);
  partition.finishDrain = () => {
    drained = true;
    settleUp(Math.max(COMMIT_GRACE_MS, drainTimeoutMs));
  };
  timers.add(
    asyncScheduler.schedule(() => {
      if (!drained) settleUp(COMMIT_GRACE_MS);
    }, drainTimeoutMs),
  );
  letGo(partition);
  if (partition.out === 0) session.drained.push(partition);
  pump(session);
}

/** The ownership is gone already: nothing may settle any more, nothing is committed (I5). @internal */
export function lose(partition: Partition): void {
  if (partition.closed) return;
  const { session } = partition;
  if (partition.live) {
    onEpochClose(partition, () => notify(session, { type: 'revoked', partition: refOf(partition), drained: false }));
  }
  partition.live = false;
  corked(session, () => {
    letGo(partition);
    closePartition(partition);
  });
  pump(session);
}

function letGo(partition: Partition): void {
  const { session } = partition;
  corked(session, () => {
    discardPending(partition);
    releaseParked(partition);
    for (const operator of [...session.listeners]) operator.onRevoke?.(partition);
  });
}
