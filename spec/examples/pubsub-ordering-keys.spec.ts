import { describe, expect, it } from '@jest/globals';
import { OWN_WARNINGS, runExample } from '../support/run-example.js';

describe('the example of Pub/Sub with ordering keys', () => {
  it('books what each account has in order, and gives up what cannot be read', async () => {
    expect(await runExample('06-pubsub-ordering-keys')).toEqual({
      code: 0,
      stdout: '500 movements of 10 accounts booked, 10 accounts in order\ndead letter of the topic\n',
      stderr: expect.stringMatching(OWN_WARNINGS),
    });
  });
});
