/** What pstest can be asked for beside what the client sees. */
export interface PstestFaults {
  /** The next calls of this name fail: a gRPC code, and what is said of each ack id, such as `'TRANSIENT_FAILURE_…'`. */
  fail(
    rpc: 'Acknowledge' | 'ModifyAckDeadline' | 'Publish' | 'Pull' | 'CreateTopic' | 'CreateSubscription',
    fault: { readonly code: number; readonly count?: number; readonly reason?: string },
  ): Promise<void>;
  /** Puts its clock forward. */
  advance(ms: number): Promise<void>;
  /** Ends each stream after so long. */
  streamTimeout(ms: number): Promise<void>;
}

/** The fault port of a pstest. */
export function pstestFaults({ control }: { readonly control?: string | undefined }): PstestFaults {
  if (control === undefined) throw new Error('Only pstest has a fault port.');
  const ask = async (path: string, query: Readonly<Record<string, string>>): Promise<void> => {
    const answer = await fetch(`${control}/${path}?${new URLSearchParams(query).toString()}`);
    if (!answer.ok) throw new Error(`pstest refuses ${path}: ${await answer.text()}`);
  };
  return {
    fail: (rpc, { code, count = 1, reason = '' }) =>
      ask('fault', { rpc, code: String(code), count: String(count), reason }),
    advance: (ms) => ask('advance', { ms: String(ms) }),
    streamTimeout: (ms) => ask('streamTimeout', { ms: String(ms) }),
  };
}
