import type { OptionRule } from '../../core/options.js';
import { isPostgres } from './postgres-client.js';

/** The rules of what every function of this folder takes. @internal */
export const CALL_RULES: Readonly<Record<'db' | 'timeoutMs', OptionRule>> = {
  db: { required: true, that: { be: 'a Kysely or a Pool of pg', holds: isPostgres } },
  timeoutMs: { min: 100, max: 2 ** 31 - 1 },
};
