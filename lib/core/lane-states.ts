/** The state of a lane: nothing of it is out. @internal */
export const FREE = 0;
/** A delivery of it is unsettled below. @internal */
export const BUSY = 1;
/** Nothing of it is out, and it waits for a message that comes again. @internal */
export const KEPT = 2;

const SMALLEST = 8;
// A table that is empty, for all that need none. Never written to.
const NO_ENTRIES = new Int32Array(1);

/**
 * The states of those lanes that are not free: one of them in the object itself, the others in a table with open addressing, of 4 bytes
 * for a lane and its state. Of thousands of partitions most have one lane out at a time, and need no table. It grows with what is out and
 * shrinks with it, so all partitions together take what `maxInFlight` deliveries need.
 * @internal
 */
export class LaneStates {
  // A lane has 29 bits; below them its state. 0: there is none.
  private single = 0;
  private entries = NO_ENTRIES;
  private mask = 0;
  private used = 0;

  get(lane: number): number {
    const { single } = this;
    if (single !== 0 && single >> 2 === lane) return single & 3;
    return (this.entries[this.placeOf(lane)] as number) & 3;
  }

  /** Takes a lane that is free, for a delivery that goes on; the answer is what it was. */
  take(lane: number): number {
    const { single } = this;
    if (single !== 0 && single >> 2 === lane) return single & 3;
    const place = this.placeOf(lane);
    const entry = this.entries[place] as number;
    if (entry === 0) this.put(place, lane, BUSY);
    return entry & 3;
  }

  set(lane: number, state: number): void {
    const { single } = this;
    if (single !== 0 && single >> 2 === lane) {
      this.single = state === FREE ? 0 : (lane << 2) | state;
      return;
    }
    const place = this.placeOf(lane);
    if (this.entries[place] === 0) {
      if (state !== FREE) this.put(place, lane, state);
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

  private put(place: number, lane: number, state: number): void {
    if (this.single === 0) {
      this.single = (lane << 2) | state;
      return;
    }
    let free = place;
    if (this.used * 2 >= this.mask) {
      this.resize(Math.max(SMALLEST, (this.mask + 1) * 2));
      free = this.placeOf(lane);
    }
    this.entries[free] = (lane << 2) | state;
    this.used++;
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
