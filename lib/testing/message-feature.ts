/** What a broker keeps of a message, feature by feature; one that is off is said to be so, never guessed. @public */
export type MessageFeature =
  /** A topic may have several partitions, and a message may name its own. */
  | 'partitions'
  /** Messages of a partition come in the order in which they were published. */
  | 'order'
  /** Messages have a key, of text at least. */
  | 'keys'
  /** Messages of one key come in the order in which they were published, whatever the number of partitions. */
  | 'keyOrder'
  /** A key may be any bytes. */
  | 'binaryKeys'
  /** A message may have no key. */
  | 'keylessMessages'
  /** A value may be empty: 0 bytes. */
  | 'emptyValues'
  /** A value may be `null`. */
  | 'tombstones'
  /** Messages have headers, of text at least. */
  | 'headers'
  /** A header may be any bytes. */
  | 'binaryHeaders'
  /** A header may be there several times. */
  | 'repeatedHeaders'
  /** A message keeps the time-stamp that its publisher gave it. */
  | 'timestamps';
