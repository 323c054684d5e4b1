import { describe, expect, it } from '@jest/globals';
import { claimGroup, type GroupClaim } from '../../../lib/brokers/kafka/kafka-twins.js';
import { fakeKafka } from '../../support/kafka-fake.js';

/** Asks for the group and writes down what comes of it. */
function ask(client = fakeKafka(), groupId = 'g') {
  const seen: { claim: GroupClaim | null; error: unknown } = { claim: null, error: null };
  const asking = claimGroup(client, groupId).subscribe({
    next: (claim) => (seen.claim = claim),
    error: (error: unknown) => (seen.error = error),
  });
  return {
    giveUp: () => asking.unsubscribe(),
    get claim() {
      return seen.claim as GroupClaim;
    },
    get state() {
      return seen.claim !== null ? 'granted' : seen.error !== null ? (seen.error as { code: string }).code : 'waiting';
    },
  };
}

describe('one consumer of a group on one client', () => {
  it('is granted at once; a live twin is refused, also once there was a refusal', () => {
    const kafka = fakeKafka();
    const first = ask(kafka);
    expect([first.state, ask(kafka).state, ask(kafka).state]).toEqual(['granted', 'twin-consumer', 'twin-consumer']);
  });

  it('may be one of each group, and one of each client', () => {
    const kafka = fakeKafka();
    expect([ask(kafka).state, ask(kafka, 'h').state, ask().state]).toEqual(['granted', 'granted', 'granted']);
  });

  it('waits for a predecessor that closes', () => {
    const kafka = fakeKafka();
    const first = ask(kafka);
    first.claim.leave();
    const second = ask(kafka);
    expect(second.state).toBe('waiting');
    first.claim.release();
    expect([second.state, ask(kafka).state]).toEqual(['granted', 'twin-consumer']);
  });

  it('is free after the release, and a release that comes twice takes nothing from the next', () => {
    const kafka = fakeKafka();
    const first = ask(kafka);
    first.claim.release();
    const second = ask(kafka);
    first.claim.release();
    expect([second.state, ask(kafka).state]).toEqual(['granted', 'twin-consumer']);
  });

  it('goes to the first of two that wait; the other is a live twin then', () => {
    const kafka = fakeKafka();
    const first = ask(kafka);
    first.claim.leave();
    const [second, third] = [ask(kafka), ask(kafka)];
    first.claim.release();
    expect([second.state, third.state]).toEqual(['granted', 'twin-consumer']);
  });

  it('passes over one that has given up waiting', () => {
    const kafka = fakeKafka();
    const first = ask(kafka);
    first.claim.leave();
    const [second, third] = [ask(kafka), ask(kafka)];
    second.giveUp();
    first.claim.release();
    expect([second.state, third.state]).toEqual(['waiting', 'granted']);
  });

  it('is seen by another copy of this library', async () => {
    const other = (await import(`../../../lib/brokers/kafka/kafka-twins.js?${'copy'}`)) as {
      claimGroup: typeof claimGroup;
    };
    expect(other.claimGroup).not.toBe(claimGroup);
    const kafka = fakeKafka();
    const first = ask(kafka);
    const errors: unknown[] = [];
    other.claimGroup(kafka, 'g').subscribe({ error: (error) => errors.push(error) });
    expect(errors).toMatchObject([{ code: 'twin-consumer', details: { groupId: 'g' } }]);
    first.claim.release();
  });

  it('leaves no trace on the client that its user would meet', () => {
    const kafka = fakeKafka();
    const before = Object.keys(kafka);
    ask(kafka);
    expect([Object.keys(kafka), JSON.stringify(Object.getOwnPropertySymbols(kafka).map(String))]).toEqual([
      before,
      '["Symbol(rxsluice.kafka.groups)"]',
    ]);
  });
});
