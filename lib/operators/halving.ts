import { isSettled, type DeliveryNode } from '../core/delivery-node.js';
import type { FailedBatch } from '../core/bisection.js';
import type { Partition } from '../core/partition.js';
import { defer } from '../core/pump.js';
import type { PumpTask, Session } from '../core/session.js';
import { hold, unhold } from '../core/units.js';

/** A halving is given these by its batch. @internal */
export interface HalvingOptions {
  readonly session: Session;
  /** Emits a group as a batch of its own. */
  readonly emit: (members: readonly DeliveryNode[], failed: FailedBatch) => void;
  /** Nothing is left. */
  readonly done: () => void;
}

interface Group {
  readonly members: readonly DeliveryNode[];
  readonly failed: FailedBatch;
}

/**
 * A batch that failed as a whole and is run by halves, one group after another, in the order of its members: a group that
 * fails is halved again, so that in the end each that fails is alone. Of n members of which k fail these are some 2k·log₂(n) runs,
 * less than 2n. What waits here is in credit, and held.
 * @internal
 */
export class Halving implements PumpTask {
  queued = false;
  /** Not run yet. */
  private groups: Group[] = [];

  constructor(private readonly options: HalvingOptions) {}

  halve(members: readonly DeliveryNode[], failed: FailedBatch): void {
    const middle = Math.ceil(members.length / 2);
    this.groups.unshift({ members: members.slice(0, middle), failed }, { members: members.slice(middle), failed });
    for (const { epoch } of members) hold(epoch);
  }

  /** The group that was out has ended. Not at once: nothing is emitted inside a settlement. */
  goOn(): void {
    defer(this.options.session, this);
  }

  run(): void {
    for (let group = this.groups.shift(); group !== undefined; group = this.groups.shift()) {
      const { members, failed } = group;
      for (const { epoch } of members) unhold(epoch);
      for (const member of members) if (!member.epoch.live) member.abandon();
      const left = members.filter((member) => !isSettled(member));
      if (left.length === 0) continue;
      this.options.emit(left, failed);
      return;
    }
    this.options.done();
  }

  /** Takes out what waits, all of it or that of a partition. */
  take(partition: Partition | null): readonly DeliveryNode[] {
    const isIts = ({ epoch }: DeliveryNode): boolean => partition === null || epoch === partition;
    const taken = this.groups.flatMap(({ members }) => members.filter(isIts));
    this.groups = this.groups.map(({ members, failed }) => ({
      members: members.filter((each) => !isIts(each)),
      failed,
    }));
    for (const { epoch } of taken) unhold(epoch);
    return taken;
  }
}
