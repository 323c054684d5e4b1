import { SluiceError } from './errors.js';
import { kindOf } from './kind-of.js';

/** What is allowed for one option; an option that is `undefined` is not checked unless `required`. @internal */
export interface OptionRule {
  readonly required?: boolean;
  /** A whole number. */
  readonly integer?: boolean;
  readonly min?: number;
  readonly above?: number;
  readonly max?: number;
  readonly oneOf?: readonly string[];
  readonly type?: 'function' | 'object' | 'string';
  /** Anything else, in words that finish "… must be". */
  readonly that?: { readonly be: string; readonly holds: (value: unknown) => boolean };
}

/** The longest wait that a timer of any platform knows: beyond it they fire at once. Some 24.8 days. @internal */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Throws `invalid-options` for the first option that is not allowed: which, what was given, what is allowed. @internal */
export function checkOptions(
  owner: string,
  given: Readonly<Record<string, unknown>>,
  rules: Readonly<Record<string, OptionRule>>,
): void {
  for (const name of Object.keys(rules)) {
    const rule = rules[name] as OptionRule;
    const value = given[name];
    if (value === undefined && !rule.required) continue;
    if (allows(rule, value)) continue;
    const allowed = describeRule(rule);
    throw new SluiceError(
      'invalid-options',
      `${owner}: ${name} must be ${allowed}, not ${describeValue(rule, value)}.`,
      {
        details: { owner, option: name, allowed },
      },
    );
  }
}

/** Throws `invalid-options` for a name that is no option: a typo would change nothing, silently. @internal */
export function checkNames(owner: string, given: object, known: readonly string[]): void {
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    throw new SluiceError('invalid-options', `${owner}: there is no option ${name}; there are ${known.join(', ')}.`, {
      details: { owner, option: name },
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
  return value >= (rule.min ?? -Infinity) && value > (rule.above ?? -Infinity) && value <= (rule.max ?? Infinity);
}

function describeRule(rule: OptionRule): string {
  if (rule.that) return rule.that.be;
  if (rule.oneOf) return rule.oneOf.map((name) => `'${name}'`).join(' or ');
  if (rule.type === 'string') return 'a string that is not empty';
  if (rule.type !== undefined) return rule.type === 'object' ? 'an object' : `a ${rule.type}`;
  const bounds = [
    rule.min === undefined ? '' : `at least ${rule.min}`,
    rule.above === undefined ? '' : `above ${rule.above}`,
    rule.max === undefined || rule.max === Infinity ? '' : `at most ${rule.max}`,
  ].filter(Boolean);
  return [rule.integer ? 'a whole number' : 'a number', bounds.join(' and ')].filter(Boolean).join(', ');
}

// Only what cannot be a secret or a payload is shown as it is.
function describeValue({ oneOf }: OptionRule, value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined || value === null) {
    return String(value);
  }
  if (value === '') return 'an empty string';
  if (typeof value === 'string') return oneOf && value.length <= 32 ? `'${value}'` : 'a string';
  return kindOf(value);
}
