import type { Partition } from './partition.js';

/**
 * The partitions that may have something new to give, in the order of their turns: a list through the partitions themselves, so that
 * all of it takes the same time however many partitions are assigned, and takes no memory.
 *
 * A partition joins at the end when something comes to it, or when something is freed that may have stopped it. It leaves at its turn,
 * and joins again at the end if it gave something. So round robin is among those that have something, and one that is stopped is not
 * looked at until what stops it has changed.
 * @internal
 */
export class Turns {
  private first: Partition | null = null;
  private last: Partition | null = null;

  /** At the end; one that is in the list keeps its place. */
  add(partition: Partition): void {
    if (partition.hasTurn) return;
    partition.hasTurn = true;
    partition.before = this.last;
    if (this.last === null) this.first = partition;
    else this.last.after = partition;
    this.last = partition;
  }

  /** Takes out the one whose turn it is. */
  next(): Partition | null {
    const { first } = this;
    if (first !== null) this.remove(first);
    return first;
  }

  remove(partition: Partition): void {
    if (!partition.hasTurn) return;
    const { before, after } = partition;
    if (before === null) this.first = after;
    else before.after = after;
    if (after === null) this.last = before;
    else after.before = before;
    partition.before = partition.after = null;
    partition.hasTurn = false;
  }
}
