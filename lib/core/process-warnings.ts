import { briefError, kindOfError } from './brief-error.js';
import { environment } from './environment.js';
import { isSluiceError } from './errors.js';
import type { PartitionRef } from './partition.js';
import type { Session } from './session.js';
import type { TelemetryEvent } from './telemetry.js';

/** How many kinds of failures one subscription counts each by itself; those beyond are counted as one. @internal */
export const MOST_KINDS = 64;
/** It is one that our own code names, such as a code of misuse: there are few. */
const MOST_NAMED = 2 * MOST_KINDS;
/** How long a kind is counted in silence after it was told: this long at first, then four times as long each time. */
const FIRST_SILENCE_MS = 15_000;
const LONGEST_SILENCE_MS = 3_600_000;
/** So many kinds are named when a source ends. */
const MOST_IN_SUM = 8;

/** One kind of what is told where there is no telemetry. @internal */
export interface WarnedKind {
  /** For the sum at the end. */
  readonly label: string;
  count: number;
  /** How many of them came since it was told last. */
  untold: number;
  silenceMs: number;
  /** When it may be told again, by the monotonic clock. */
  dueAt: number;
  /** It is an outage that was told, and its end was not. */
  isOut: boolean;
}

/**
 * Tells whoever has set up no telemetry what they must hear of: the first of each kind at once, then how many there were, at growing
 * intervals, and what is left of that when the source ends. It has no timer: only what happens again is told again.
 * @internal
 */
export function warnOf(session: Session, event: TelemetryEvent): void {
  switch (event.type) {
    case 'unavailable':
      warnOfOutage(session, event.what, event.error);
      return;
    case 'recovered':
      warnOfRecovery(session, event.what);
      return;
    case 'misuse':
      // The warning of the retry has said the same.
      if (event.code !== 'retried-without-limit') tellOnce(session, event.code, event.message);
      return;
    case 'closed':
      tellSum(session);
      return;
    default: {
      const warning = warningOf(session, event);
      if (warning !== null) count(session, warning);
    }
  }
}

/** A warning that is given once in a subscription, whatever happens after it. @internal */
export function tellOnce(session: Session, topic: string, text: string): void {
  if (isFirst(session, topic)) tell(text);
}

interface Warning {
  readonly kind: string;
  readonly label?: string;
  /** Asked only where it is told. */
  readonly text: () => string;
}

function warningOf(session: Session, event: TelemetryEvent): Warning | null {
  switch (event.type) {
    case 'retried': {
      const { message, by, reason, failure } = event;
      const label = `attempts that failed with ${kindOfError(reason)}`;
      return {
        kind: `retried by ${by}, ${failure}, ${label}`,
        label,
        text: () =>
          `message ${message.id} failed: ${briefError(reason)}. ${whatFollows(session, by)}${hintOnce(session, reason)}`,
      };
    }
    case 'dead-lettered': {
      const { message, reason, published } = event;
      const label = `dead letters after ${kindOfError(reason)}`;
      const end = published
        ? `is a dead letter now: ${briefError(reason)}. Its headers, or last_error of its row in an outbox, have the error's own words.`
        : `was given up (onUndeliverable: 'ack'), without a dead letter: ${briefError(reason)}.`;
      return {
        kind: `${label}, ${published}`,
        label,
        text: () => `message ${message.id} ${end}${hintOnce(session, reason)}`,
      };
    }
    default:
      return otherWarningOf(event);
  }
}

function whatFollows(session: Session, by: 'source' | 'operator'): string {
  if (by === 'operator') return 'retryToDlq() tries it again after a wait.';
  const again = 'The source runs it again after a wait';
  const isLog = [...session.partitions].some(({ window }) => window !== null);
  return isLog && !session.retries
    ? `${again}, without a limit, and it never becomes a dead letter: no retryToDlq() comes before what failed. Put it right after the source.`
    : `${again}.`;
}

const HINT =
  ' (Errors of your own code are named by class, code and place, for their text may quote a message. A telemetry function on the ' +
  'source gets them whole, and ends these warnings.)';

function hintOnce(session: Session, reason: unknown): string {
  return reason !== undefined && !isSluiceError(reason) && isFirst(session, 'hint') ? HINT : '';
}

function isFirst({ warnings }: Session, topic: string): boolean {
  return kindNamed(warnings, topic, topic, MOST_NAMED).count++ === 0;
}

function otherWarningOf(event: TelemetryEvent): Warning | null {
  switch (event.type) {
    case 'unsettled-too-long': {
      const { message, forMs, why } = event;
      const cause =
        why ??
        'Look whether the pipeline ends with ackEach(), then whether an operator dropped the delivery without settling it, then ' +
          'whether a handler hangs (see docs/operators-and-plain-rxjs.md).';
      return {
        kind: event.type,
        label: 'messages that were unsettled for too long',
        text: () =>
          `message ${message.id} has been unsettled for ${forMs} ms. Its partition's watermark stands still. ${cause}`,
      };
    }
    case 'cut-off': {
      const { partition, unsettled, afterMs, why } = event;
      const cause =
        why === undefined
          ? 'Look whether the pipeline ends with ackEach(), then whether a plain RxJS operator holds them and completes only with them, then ' +
            'whether a handler does not end (see docs/operators-and-plain-rxjs.md).'
          : `The oldest one: ${why}`;
      return {
        kind: event.type,
        label: 'partitions with unsettled deliveries at the end',
        text: () =>
          `${afterMs} ms after the stop ${named(partition)} had unsettled deliveries: ${unsettled}. They come again. ${cause}`,
      };
    }
    case 'undeliverable':
      return {
        kind: `${event.type}, ${kindOfError(event.error)}`,
        label: 'dead letters that were refused',
        text: () =>
          `the dead letter of message ${event.message.id} was refused: ${briefError(event.error)} (see onUndeliverable).`,
      };
    case 'ack-failed':
      return {
        kind: `${event.type}, ${kindOfError(event.error)}`,
        label: 'acks that failed',
        text: () =>
          `acks of ${named(event.partition)} failed: ${briefError(event.error)}. What is not acked is delivered again.`,
      };
    case 'position-lost':
      return {
        kind: event.type,
        label: 'positions that were lost',
        text: () =>
          `position ${event.expected} of ${named(event.partition)} is gone, the log goes on at ${event.found} (${event.action}).`,
      };
    case 'claim-lost':
      return {
        kind: event.type,
        label: 'claims that lapsed',
        text: () =>
          `the claim of message ${event.message.id} lapsed while it was worked on; it may be processed twice.`,
      };
    default:
      return null;
  }
}

function count(session: Session, { kind: name, label = name, text }: Warning): void {
  const kind = kindNamed(session.warnings, name, label, MOST_KINDS);
  kind.count++;
  const now = environment.now();
  if (kind.count > 1 && now < kind.dueAt) {
    kind.untold++;
    return;
  }
  silence(kind, now);
  const more =
    kind.count === 1 ? '' : ` (${kind.untold + 1} of this kind since the last such warning, ${kind.count} in all.)`;
  kind.untold = 0;
  tell(`${text()}${more}`);
}

// An outage is tried again and again: it is told once, and where it comes and goes, not each time.
function warnOfOutage({ warnings }: Session, what: string, error: unknown): void {
  const kind = kindNamed(warnings, `outage of ${what}`, what, MOST_NAMED);
  const now = environment.now();
  if (kind.isOut || (kind.count > 0 && now < kind.dueAt)) return;
  kind.count++;
  kind.isOut = true;
  silence(kind, now);
  tell(`${what} is out: ${briefError(error)}. Deliveries that need it are held, and it is tried again.`);
}

function warnOfRecovery({ warnings }: Session, what: string): void {
  const kind = kindNamed(warnings, `outage of ${what}`, what, MOST_NAMED);
  if (!kind.isOut) return;
  kind.isOut = false;
  tell(`${what} is back.`);
}

function tellSum({ warnings }: Session): void {
  const left = [...warnings.values()].filter(({ untold }) => untold > 0);
  if (left.length === 0) return;
  const named = left.slice(0, MOST_IN_SUM).map(({ label, count: times }) => `${label}: ${times}`);
  const others = left.length > MOST_IN_SUM ? [`and ${left.length - MOST_IN_SUM} other kinds`] : [];
  tell(`the source has ended. In all: ${[...named, ...others].join('; ')}.`);
}

const OTHERS = 'failures of other kinds';

function kindNamed(warnings: Session['warnings'], name: string, label: string, most: number): WarnedKind {
  const known = warnings.get(name);
  if (known !== undefined) return known;
  if (warnings.size >= most && name !== OTHERS) return kindNamed(warnings, OTHERS, OTHERS, most);
  const kind = { label, count: 0, untold: 0, silenceMs: 0, dueAt: 0, isOut: false };
  warnings.set(name, kind);
  return kind;
}

function silence(kind: WarnedKind, now: number): void {
  kind.silenceMs = kind.silenceMs === 0 ? FIRST_SILENCE_MS : Math.min(4 * kind.silenceMs, LONGEST_SILENCE_MS);
  kind.dueAt = now + kind.silenceMs;
}

function named({ topic, partition }: PartitionRef): string {
  return `${topic}/${partition}`;
}

function tell(text: string): void {
  environment.warn(`rxsluice: ${text}`);
}
