import awsKinesisAgg from 'aws-kinesis-agg';

export interface AggRecord {
  readonly partitionKey: string;
  readonly explicitHashKey?: string;
  readonly data: Buffer;
}

/** A message as theirs gives it, of a record as the client of AWS gives that. */
export interface AggMessage {
  readonly PartitionKey: string;
  readonly ExplicitPartitionKey: string | undefined;
  readonly SequenceNumber: string;
  readonly SubSequenceNumber?: number;
  /** In base64. */
  readonly Data: string;
}

interface Agg {
  readonly RecordAggregator: new () => {
    addUserRecord(record: AggRecord): void;
    build(): { readonly partitionKey: string; readonly ExplicitHashKey?: string; readonly data: Buffer };
  };
  deaggregateSync(
    record: object,
    computeChecksums: boolean,
    done: (error: unknown, messages: readonly AggMessage[]) => void,
  ): void;
}

// Its types want version 2 of AWS' SDK, and leave half of it out.
const agg = awsKinesisAgg as unknown as Agg;

/** What AWS' own package for Node aggregates. */
export function aggregateByAws(records: readonly AggRecord[]): Uint8Array {
  const aggregator = new agg.RecordAggregator();
  for (const record of records) aggregator.addUserRecord(record);
  return new Uint8Array(aggregator.build().data);
}

/** What it reads of a record; throws where it gives up. */
export function deaggregateByAws(Data: Uint8Array): readonly AggMessage[] {
  let read: readonly AggMessage[] = [];
  agg.deaggregateSync({ SequenceNumber: '1', PartitionKey: 'k', Data }, true, (error, messages) => {
    if (error !== undefined && error !== null) throw error as Error;
    read = messages;
  });
  return read;
}
