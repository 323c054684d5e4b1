import type { OutboxStore } from 'rxsluice';
import type { Quake } from './quake.js';

/** Where quakes are stored, in the transactions of an outbox. */
export interface QuakeDatabase<Tx> {
  /** What it is, to finish "with …". */
  readonly name: string;
  readonly outbox: OutboxStore<Tx>;
  readonly save: (tx: Tx, quake: Quake) => Promise<unknown>;
  /** How many quakes are stored. */
  readonly count: () => Promise<number>;
}
