import { expect, it } from '@jest/globals';
import { lastValueFrom } from 'rxjs';
import { publish } from '../../../lib/index.js';
import { kafkaPublisher } from '../../../lib/kafka.js';
import { describeKafka } from '../../servers/describe-kafka.js';

describeKafka('a topic whose broker unpacks (compression.type=uncompressed)', (kafka) => {
  const outcomeOf = async (topic: string, bytes: number): Promise<unknown> => {
    const publisher = kafkaPublisher(kafka().newKafka(), { topic, compression: 'gzip', maxBatchBytes: 20_000_000 });
    const [outcome] = await lastValueFrom(publish(publisher, [{ value: new Uint8Array(bytes) }]));
    return outcome;
  };

  it('takes no batch that unpacks to more than its max.message.bytes, and any other topic does', async () => {
    const limit = { 'max.message.bytes': '1000000' };
    const [plain, unpacking] = await Promise.all([
      kafka().createTopic({ partitions: 1, config: limit }),
      kafka().createTopic({ partitions: 1, config: { ...limit, 'compression.type': 'uncompressed' } }),
    ]);
    expect(await outcomeOf(plain, 10_000_000)).toMatchObject({ status: 'ok' });
    expect(await outcomeOf(unpacking, 500_000)).toMatchObject({ status: 'ok' });
    const refused = await outcomeOf(unpacking, 10_000_000);
    expect(refused).toMatchObject({ status: 'permanent', error: { code: 'publish-failed' } });
    expect((refused as { readonly error: Error }).error.message).toContain('MESSAGE_TOO_LARGE');
  });
});
