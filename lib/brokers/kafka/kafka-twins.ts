import { Observable } from 'rxjs';
import { SluiceError } from '../../core/errors.js';
import type { KafkaClientLike } from './kafka-client.js';

/** Who reads for a group over one client. Hangs on the client, so that two copies of this library agree. */
interface Claim {
  leaving: boolean;
  readonly waiting: Set<() => void>;
}

const CLAIMS = Symbol.for('rxsluice.kafka.groups');

/** @internal */
export interface GroupClaim {
  /** It ends: whoever comes next waits for `release`. */
  leave(): void;
  release(): void;
}

/**
 * Emits once this client's group is free. Two consumers of one group on one `Kafka` overwrite each other's offsets in
 * kafkajs: a live twin is an error, one that closes is waited for.
 * @internal
 */
export function claimGroup(client: KafkaClientLike, groupId: string): Observable<GroupClaim> {
  return new Observable((subscriber) => {
    const claims = claimsOf(client);
    const attempt = (): void => {
      if (subscriber.closed) return;
      const current = claims.get(groupId);
      if (current === undefined) subscriber.next(enter(claims, groupId));
      else if (current.leaving) current.waiting.add(attempt);
      else subscriber.error(twinError(groupId));
    };
    attempt();
  });
}

function enter(claims: Map<string, Claim>, groupId: string): GroupClaim {
  const claim: Claim = { leaving: false, waiting: new Set() };
  claims.set(groupId, claim);
  return {
    leave: () => {
      claim.leaving = true;
    },
    release: () => {
      if (claims.get(groupId) === claim) claims.delete(groupId);
      for (const next of claim.waiting) next();
      claim.waiting.clear();
    },
  };
}

function claimsOf(client: KafkaClientLike): Map<string, Claim> {
  const holder = client as { [CLAIMS]?: Map<string, Claim> };
  if (holder[CLAIMS] === undefined) Object.defineProperty(holder, CLAIMS, { value: new Map<string, Claim>() });
  return holder[CLAIMS] as Map<string, Claim>;
}

function twinError(groupId: string): SluiceError {
  return new SluiceError(
    'twin-consumer',
    `fromKafka: the group ${groupId} is read by another subscription over this Kafka client already. Give each its own ` +
      'client (kafkajs keeps committed offsets by client and group), or share one subscription.',
    { details: { groupId } },
  );
}
