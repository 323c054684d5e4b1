import { asyncScheduler, type Subscription } from 'rxjs';
import { exponential } from '../core/backoff.js';
import type { DeliveryNode } from '../core/delivery-node.js';
import { createOutage } from '../core/outage.js';
import type { Partition } from '../core/partition.js';
import { RingQueue } from '../core/ring-queue.js';
import { messageInfo, notify } from '../core/telemetry.js';
import { hold, unhold } from '../core/units.js';

/** An attempt that is still to be made. @internal */
export interface Attempt {
  readonly delivery: DeliveryNode;
  readonly attempt: number;
  readonly failures: number;
  /** Milliseconds since 1970, or `null` before the first failure. */
  readonly firstFailureAt: number | null;
}

/**
 * Holds everything while something is out, and sends one attempt at a time as a probe: an outage counts no attempt and
 * fills no dead letters. What it holds is in credit, so the intake stops by itself.
 * @internal
 */
export interface OutageGate {
  readonly isShut: boolean;
  /** Attempts wait for the end of the probe. */
  readonly isWaitedAt: boolean;
  isProbe(child: DeliveryNode): boolean;
  hold(attempt: Attempt): void;
  /** An attempt found the thing out: shut the gate, or keep it shut if this was the probe. */
  foundOut(child: DeliveryNode, again: Attempt, error: unknown): void;
  /** An attempt ended otherwise; if it was the probe, the outage is over. */
  foundBack(child: DeliveryNode): void;
  /** An attempt was let go; if it was the probe, another is sent. */
  letGo(child: DeliveryNode): void;
  /** An attempt waits below for another message, maybe one in here; if it was the probe, another is sent, at once. */
  heldBack(child: DeliveryNode): void;
  drop(partition: Partition): void;
  close(): void;
}

const WHAT = 'what a handler depends on';

/** @internal */
export function createOutageGate(
  make: (attempt: Attempt) => DeliveryNode,
  emit: (child: DeliveryNode) => void,
  letGo: (delivery: DeliveryNode) => void,
): OutageGate {
  const backoff = exponential({ initialMs: 100, maxMs: 10_000, jitter: 'none' });
  const queue = new RingQueue<Attempt>();
  let closed = false;
  const outage = createOutage(WHAT);
  let probes = 0;
  let probe: DeliveryNode | null = null;
  let timer: Subscription | null = null;

  const takeNext = (): Attempt | undefined => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      unhold(next.delivery.epoch);
      if (next.delivery.epoch.live) return next;
      letGo(next.delivery);
    }
    return undefined;
  };

  const keep = (attempt: Attempt): void => {
    const { delivery } = attempt;
    const { session } = delivery.epoch;
    if (session.telemetry !== null) {
      notify(session, { type: 'parked', message: messageInfo(delivery), because: 'unavailable' });
    }
    if (closed) {
      letGo(delivery);
      return;
    }
    queue.push(attempt);
    hold(delivery.epoch);
  };

  const scheduleProbe = (atOnce = false): void => {
    if (closed) return;
    timer ??= asyncScheduler.schedule(
      () => {
        timer = null;
        const next = takeNext();
        if (next === undefined) {
          gate.isShut = false;
          return;
        }
        // Known before it is emitted: it may be settled at once.
        probe = make(next);
        emit(probe);
      },
      atOnce ? 0 : backoff(++probes),
    );
  };

  const sendAnother = (atOnce = false): void => {
    probe = null;
    scheduleProbe(atOnce);
  };

  const open = (): void => {
    probe = null;
    probes = 0;
    if (closed) return;
    timer ??= asyncScheduler.schedule(() => {
      timer = null;
      gate.isShut = false;
      for (let next = takeNext(); next !== undefined; next = takeNext()) {
        emit(make(next));
        if (gate.isShut) return;
      }
    });
  };

  const gate: { -readonly [K in keyof OutageGate]: OutageGate[K] } = {
    isShut: false,
    get isWaitedAt() {
      return queue.length > 0;
    },
    isProbe: (child) => child === probe,
    hold: keep,
    foundOut: (child, again, error) => {
      if (!gate.isShut) {
        gate.isShut = true;
        outage.out(child.epoch.session, error);
        scheduleProbe();
      } else if (child === probe) {
        outage.out(child.epoch.session, error);
        sendAnother();
      }
      keep(again);
    },
    foundBack: (child) => {
      if (child !== probe) return;
      outage.over();
      open();
    },
    letGo: (child) => {
      if (child === probe) sendAnother();
    },
    heldBack: (child) => {
      if (child === probe) sendAnother(true);
    },
    drop: (partition) => {
      for (const { delivery } of queue.extract((attempt) => attempt.delivery.epoch === partition)) {
        unhold(partition);
        letGo(delivery);
      }
      if (probe?.epoch === partition && partition.closed) sendAnother();
    },
    close: () => {
      closed = true;
      timer?.unsubscribe();
      for (const { delivery } of queue.drain()) {
        unhold(delivery.epoch);
        letGo(delivery);
      }
    },
  };
  return gate;
}
