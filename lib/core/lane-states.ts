/** The state of a lane: nothing of it is out. @internal */
export const FREE = 0;
/** A delivery of it is unsettled below. @internal */
export const BUSY = 1;
/** Nothing of it is out, and it waits for a message that comes again. @internal */
export const KEPT = 2;

// 64 bytes, which V8 keeps beside the array: more would cost two more objects.
const SMALLEST = 16;

/**
 * The states of those lanes that are not free: a table with open addressing, of 4 bytes for a lane and its state. It grows with what
 * is out and shrinks with it. So all partitions together take what `maxInFlight` deliveries need, and 64 bytes each.
 * @internal
 */
export class LaneStates {
  // A lane has 29 bits; below them its state. 0: the place is empty.
  private entries = new Int32Array(SMALLEST);
  private mask = SMALLEST - 1;
  private used = 0;

  get(lane: number): number {
    const entry = this.entries[this.placeOf(lane)] as number;
    return entry & 3;
  }

  /** Takes a lane that is free, for a delivery that goes on; the answer is what it was. */
  take(lane: number): number {
    const place = this.placeOf(lane);
    const entry = this.entries[place] as number;
    if (entry === 0) this.insert(place, lane, BUSY);
    return entry & 3;
  }

  set(lane: number, state: number): void {
    const place = this.placeOf(lane);
    if (this.entries[place] === 0) {
      if (state !== FREE) this.insert(place, lane, state);
    } else if (state === FREE) {
      this.empty(place);
    } else {
      this.entries[place] = (lane << 2) | state;
    }
  }

  /** Where the lane is, or where it would be put. */
  private placeOf(lane: number): number {
    const { entries, mask } = this;
    let place = lane & mask;
    for (let entry = entries[place] as number; entry !== 0; entry = entries[place] as number) {
      if (entry >> 2 === lane) break;
      place = (place + 1) & mask;
    }
    return place;
  }

  private insert(place: number, lane: number, state: number): void {
    this.entries[place] = (lane << 2) | state;
    this.used++;
    if (this.used * 2 > this.mask) this.resize((this.mask + 1) * 2);
  }

  private empty(place: number): void {
    const { entries, mask } = this;
    let hole = place;
    // Whatever stands behind it in a row, and could stand in the hole, moves there: else it would not be found any more.
    for (let at = (hole + 1) & mask; entries[at] !== 0; at = (at + 1) & mask) {
      const home = ((entries[at] as number) >> 2) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      entries[hole] = entries[at] as number;
      hole = at;
    }
    entries[hole] = 0;
    this.used--;
    if (mask >= SMALLEST && this.used * 8 < mask) this.resize((mask + 1) / 2);
  }

  private resize(size: number): void {
    const { entries } = this;
    this.entries = new Int32Array(size);
    this.mask = size - 1;
    for (const entry of entries) if (entry !== 0) this.entries[this.placeOf(entry >> 2)] = entry;
  }
}
