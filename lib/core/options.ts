import { cutText } from './cut-text.js';
import { SluiceError } from './errors.js';
import { kindOf } from './kind-of.js';

/** What is allowed for one option; an option that is `undefined` is not checked unless `required`. @internal */
export interface OptionRule {
  readonly required?: boolean;
  /** A whole number. */
  readonly integer?: boolean;
  readonly min?: Bound;
  readonly above?: Bound;
  readonly max?: Bound;
  readonly oneOf?: readonly string[];
  readonly type?: 'function' | 'object' | 'string';
  /** Anything else, in words that finish "… must be". `isNamed` where one of a few texts is allowed: then a wrong one is shown. */
  readonly that?: { readonly be: string; readonly holds: (value: unknown) => boolean; readonly isNamed?: boolean };
}

/** A limit; one that follows from another option says from which. @internal */
export type Bound = number | { readonly value: number; readonly of: string };

/** The longest wait that a timer of any platform knows: beyond it they fire at once. Some 24.8 days. @internal */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

const MOST_SHOWN_BYTES = 64;

/**
 * Throws `invalid-options` for the first option that is not allowed: which, what was given, what is allowed. `users` are the options
 * without defaults that follow from others.
 * @internal
 */
export function checkOptions(
  owner: string,
  given: Readonly<Record<string, unknown>>,
  rules: Readonly<Record<string, OptionRule>>,
  users: object = given,
): void {
  for (const name of Object.keys(rules)) {
    const rule = rules[name] as OptionRule;
    const value = given[name];
    if (value === undefined && !rule.required) continue;
    if (allows(rule, value)) continue;
    const allowed = describeRule(rule);
    const isDefault = value !== undefined && (users as Readonly<Record<string, unknown>>)[name] === undefined;
    const what = `${describeValue(rule, value)}${isDefault ? ', its default' : ''}`;
    throw new SluiceError('invalid-options', `${owner}: ${name} must be ${allowed}, not ${what}.`, {
      details: { owner, option: name, allowed },
    });
  }
}

/** Throws `invalid-options` for a name that is no option: a typo would change nothing, silently. @internal */
export function checkNames(owner: string, given: object, known: readonly string[]): void {
  const all: unknown = given;
  if (typeof all !== 'object' || all === null || Array.isArray(all)) {
    const text = `${owner}: the options must be an object with ${known.join(', ')}, not ${describeValue({}, all)}.`;
    throw new SluiceError('invalid-options', text, { details: { owner, option: 'options' } });
  }
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    const option = cutText(name, MOST_SHOWN_BYTES);
    throw new SluiceError('invalid-options', `${owner}: there is no option ${option}; there are ${known.join(', ')}.`, {
      details: { owner, option },
    });
  }
}

function allows(rule: OptionRule, value: unknown): boolean {
  if (rule.that) return rule.that.holds(value);
  if (rule.oneOf) return typeof value === 'string' && rule.oneOf.includes(value);
  if (rule.type === 'object') return typeof value === 'object' && value !== null;
  if (rule.type === 'string') return typeof value === 'string' && value !== '';
  if (rule.type !== undefined) return typeof value === rule.type;
  if (typeof value !== 'number' || Number.isNaN(value)) return false;
  if (rule.integer && !Number.isInteger(value)) return false;
  const { min = -Infinity, above = -Infinity, max = Infinity } = rule;
  return value >= valueOf(min) && value > valueOf(above) && value <= valueOf(max);
}

function describeRule(rule: OptionRule): string {
  if (rule.that) return rule.that.be;
  if (rule.oneOf) return rule.oneOf.map((name) => `'${name}'`).join(' or ');
  if (rule.type === 'string') return 'a string that is not empty';
  if (rule.type !== undefined) return rule.type === 'object' ? 'an object' : `a ${rule.type}`;
  const bounds = [
    rule.min === undefined ? '' : `at least ${describeBound(rule.min)}`,
    rule.above === undefined ? '' : `above ${describeBound(rule.above)}`,
    rule.max === undefined || rule.max === Infinity ? '' : `at most ${describeBound(rule.max)}`,
  ].filter(Boolean);
  return [rule.integer ? 'a whole number' : 'a number', bounds.join(' and ')].filter(Boolean).join(', ');
}

function valueOf(bound: Bound): number {
  return typeof bound === 'number' ? bound : bound.value;
}

function describeBound(bound: Bound): string {
  return typeof bound === 'number' ? String(bound) : `${bound.of} (${bound.value})`;
}

// Only what cannot be a secret or a payload is shown as it is.
function describeValue(rule: OptionRule, value: unknown): string {
  const { oneOf, that } = rule;
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined || value === null) {
    return String(value);
  }
  if (value === '') return 'an empty string';
  if (typeof value === 'string') {
    return (oneOf !== undefined || that?.isNamed === true) && value.length <= 32 ? `'${value}'` : 'a string';
  }
  if (Array.isArray(value)) return describeList(rule, value);
  return kindOf(value);
}

const MOST_KINDS = 3;

function describeList(rule: OptionRule, list: readonly unknown[]): string {
  if (list.length === 0) return 'an empty array';
  const kinds = new Set(list.map((item) => (Array.isArray(item) ? 'an array' : describeValue(rule, item))));
  return `an array of: ${[...kinds].slice(0, MOST_KINDS).join(', ')}`;
}
