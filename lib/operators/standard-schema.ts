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
  /** Where in the value. Default: its root. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

const MOST_PATHS = 5;

/**
 * Names the paths that do not match and nothing else: the messages of some libraries quote the value, which may be
 * secret.
 * @internal
 */
export function issuesError(issues: readonly StandardIssue[]): Error {
  const paths = [...new Set(issues.map(pathOf))];
  const named = paths.slice(0, MOST_PATHS).join(', ') + (paths.length > MOST_PATHS ? ', …' : '');
  return permanent(
    new SluiceError('undecodable', `The value does not match its schema at ${named}.`, { details: { paths } }),
  );
}

function pathOf({ path = [] }: StandardIssue): string {
  const names = path.map((segment) => String(typeof segment === 'object' ? segment.key : segment));
  return names.length === 0 ? 'its root' : names.join('.');
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
