import { SluiceError } from '../core/errors.js';
import { permanent } from '../core/failures.js';
import { checkOptions } from '../core/options.js';

/**
 * The part of the Standard Schema interface (standardschema.dev, version 1) that is used here. Any library that follows
 * it fits: Zod 3.24 and later, Valibot 1, ArkType 2, …
 * @public
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  /** What the interface is about: version, vendor and `validate`. */
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | PromiseLike<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a validation answers: the value, or why not. @public */
export type StandardResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly StandardIssue[] };

/** One thing that does not match. @public */
export interface StandardIssue {
  /** In the words of the schema's library; never shown, since it may quote the value. */
  readonly message: string;
  /** Where in the value. Default: its root. A number is told, and text that looks like the name of a property. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

const MOST_PATHS = 5;
// What is looked at, and kept as data: a value can have an issue for each of its bytes.
const MOST_ISSUES = 100;
const MOST_SEGMENTS = 16;
// A name that somebody gave to a property, in any script. Keys that are data (of a card, a token, an account) have more digits.
const NAME = /^(?!(?:.*\d){5})[@\p{L}_$][\p{L}\p{M}\d_$-]*$/u;
const MOST_NAME = 40;

/**
 * Names the paths that do not match and nothing else: the messages of some libraries quote the value, which may be
 * secret. The key of a record is data too: one that does not look like a name is told as `*`.
 * @internal
 */
export function issuesError(issues: readonly StandardIssue[]): Error {
  const paths = [...new Set(issues.slice(0, MOST_ISSUES).map(pathOf))];
  const isAll = paths.length <= MOST_PATHS && issues.length <= MOST_ISSUES;
  const named = paths.slice(0, MOST_PATHS).join(', ') + (isAll ? '' : ', …');
  const details = { paths, issues: issues.length };
  return permanent(new SluiceError('undecodable', `The value does not match its schema at ${named}.`, { details }));
}

function pathOf({ path = [] }: StandardIssue): string {
  if (path.length === 0) return 'its root';
  const names = path.slice(0, MOST_SEGMENTS).map(segmentOf);
  return [...names, ...(path.length > MOST_SEGMENTS ? ['…'] : [])].join('.');
}

function segmentOf(segment: PropertyKey | { readonly key: PropertyKey }): string {
  const key = typeof segment === 'object' ? segment.key : segment;
  if (typeof key === 'number') return String(key);
  return typeof key === 'string' && key.length <= MOST_NAME && NAME.test(key) ? key : '*';
}

/** Throws `invalid-options` for a schema that is none, where one is given. @internal */
export function checkSchema(owner: string, schema: unknown): void {
  checkOptions(
    owner,
    { schema },
    { schema: { that: { be: 'a Standard Schema (Zod 3.24, Valibot 1, …)', holds: isStandardSchema } } },
  );
}

/** @internal */
export function isStandardSchema(value: unknown): value is StandardSchemaV1<unknown, unknown> {
  return (typeof value === 'object' || typeof value === 'function') && value !== null && '~standard' in value;
}
