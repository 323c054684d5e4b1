// An aggregate of the KPL: the mark, a protobuf message, the MD5 of that message. In protobuf's own language (proto2):
//
//   message AggregatedRecord {
//     repeated string partition_key_table = 1;
//     repeated string explicit_hash_key_table = 2;
//     repeated Record records = 3;
//   }
//   message Record {
//     required uint64 partition_key_index = 1;
//     optional uint64 explicit_hash_key_index = 2;
//     required bytes data = 3;
//     repeated Tag tags = 4;
//   }

/** What an aggregate begins with. @internal */
export const MARK: readonly number[] = [0xf3, 0x89, 0x9a, 0xc2];

/** The fields of an aggregate as they stand on the wire: number and type; from `unknown` on are those that it has not. @internal */
export const AGGREGATE = { partitionKey: 0x0a, explicitHashKey: 0x12, record: 0x1a, unknown: 0x20 } as const;

/** The fields of a record in it, alike. @internal */
export const RECORD = {
  partitionKeyIndex: 0x08,
  explicitHashKeyIndex: 0x10,
  data: 0x1a,
  tag: 0x22,
  unknown: 0x28,
} as const;

/** Whether it begins as an aggregate does. @internal */
export function isMarked(data: Uint8Array): boolean {
  return data[0] === MARK[0] && data[1] === MARK[1] && data[2] === MARK[2] && data[3] === MARK[3];
}
