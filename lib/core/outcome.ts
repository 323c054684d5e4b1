/**
 * How a message was settled for good: `done` (processed), `skipped` (filtered out, or a repeat),
 * `dead-lettered` (published as a dead letter, or given up by the user's explicit choice).
 * @public
 */
export type Outcome = 'done' | 'skipped' | 'dead-lettered';
