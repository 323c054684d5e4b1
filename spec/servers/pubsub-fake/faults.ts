import { grpc } from 'google-gax';
import type { RpcName } from './rpcs.js';
import { ackRefusal, type FakeStatusError, refusal } from './status.js';

/** How calls fail. */
export interface CallFault {
  /** Default `'UNAVAILABLE'`. */
  readonly code?: keyof typeof grpc.status;
  /** How many calls fail. Default 1. */
  readonly count?: number;
  /** Of an ack or a deadline: what is said of each ack id, such as `'TRANSIENT_FAILURE_SERVICE_UNAVAILABLE'`. */
  readonly reason?: string;
  /** Whether the call has its effect, and the answer alone is lost. Default false. */
  readonly applied?: boolean;
  readonly details?: string;
}

/** What befalls a call. */
export interface Fate {
  readonly delayMs: number;
  readonly before: FakeStatusError | undefined;
  readonly after: FakeStatusError | undefined;
}

/** How specs ask for faults. */
export interface FaultControls {
  /** The next calls of this name fail. */
  fail(rpc: RpcName, fault?: CallFault): void;
  /** Calls of this name are answered so much later; 0 ends that. */
  delay(rpc: RpcName, ms: number): void;
  /** Calls of these names are refused for want of permission; of all, without names. */
  deny(...rpcs: RpcName[]): void;
  /** Ends all faults. */
  heal(): void;
}

/** The faults that specs ask for. */
export interface Faults extends FaultControls {
  fateOf(rpc: RpcName, ackIds: readonly string[]): Fate;
}

const FAIR: Fate = { delayMs: 0, before: undefined, after: undefined };

export function faults(): Faults {
  const failing = new Map<RpcName, Required<Pick<CallFault, 'code'>> & CallFault & { left: number }>();
  const delays = new Map<RpcName, number>();
  const denied = new Set<RpcName | 'all'>();

  return {
    fail: (rpc, fault = {}) => {
      const { code = 'UNAVAILABLE', count = 1 } = fault;
      failing.set(rpc, { ...fault, code, left: count });
    },
    delay: (rpc, ms) => void delays.set(rpc, ms),
    deny: (...rpcs) => {
      for (const rpc of rpcs) denied.add(rpc);
      if (rpcs.length === 0) denied.add('all');
    },
    heal: () => {
      for (const kind of [failing, delays, denied]) kind.clear();
    },
    fateOf: (rpc, ackIds) => {
      if (failing.size === 0 && delays.size === 0 && denied.size === 0) return FAIR;
      const delayMs = delays.get(rpc) ?? 0;
      if (denied.has('all') || denied.has(rpc)) {
        const before = refusal('PERMISSION_DENIED', 'User not authorized to perform this action.');
        return { delayMs, before, after: undefined };
      }
      const fault = failing.get(rpc);
      if (fault === undefined || fault.left === 0) return { ...FAIR, delayMs };
      fault.left--;
      const { code, reason, applied = false, details = `The spec asked for ${code}.` } = fault;
      const byAckId = new Map(ackIds.map((ackId) => [ackId, reason ?? '']));
      const failures = { reason: 'EXACTLY_ONCE_ACKID_FAILURE', byAckId };
      const error = reason === undefined ? refusal(code, details) : ackRefusal(grpc.status[code], details, failures);
      return { delayMs, before: applied ? undefined : error, after: applied ? error : undefined };
    },
  };
}
