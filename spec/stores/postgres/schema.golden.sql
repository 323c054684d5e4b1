-- rxsluice_0001_processed_events
CREATE TABLE IF NOT EXISTS "public"."processed_events" (
  consumer text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  token uuid,
  leased_until timestamp with time zone,
  processed_at timestamp with time zone,
  PRIMARY KEY (consumer, event_id),
  CHECK ((leased_until IS NULL) <> (processed_at IS NULL))
) WITH (fillfactor = 50);

-- rxsluice_0002_outbox
CREATE TABLE IF NOT EXISTS "public"."outbox" (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  message_id uuid DEFAULT gen_random_uuid() NOT NULL,
  topic text NOT NULL,
  key bytea,
  lane bigint,
  payload bytea,
  headers json DEFAULT '[]' NOT NULL,
  partition integer,
  timestamp_ms bigint,
  created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
  leased_until timestamp with time zone,
  token uuid,
  attempts integer DEFAULT 0 NOT NULL,
  last_error text,
  published_at timestamp with time zone,
  dead_at timestamp with time zone,
  PRIMARY KEY (id),
  CHECK ((lane IS NULL) = (key IS NULL))
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS "outbox_pending" ON "public"."outbox" USING btree (id) WHERE ((published_at IS NULL) AND (dead_at IS NULL));
CREATE INDEX IF NOT EXISTS "outbox_lanes" ON "public"."outbox" USING btree (lane, id) WHERE ((published_at IS NULL) AND (dead_at IS NULL));

-- rxsluice_0003_shard_leases
CREATE TABLE IF NOT EXISTS "public"."shard_leases" (
  consumer text COLLATE "C" NOT NULL,
  stream text COLLATE "C" NOT NULL,
  shard text COLLATE "C" NOT NULL,
  counter bigint NOT NULL,
  owner text,
  wanted_by text,
  checkpoint text NOT NULL,
  acked text NOT NULL,
  done_until_ms bigint NOT NULL,
  parents text[] NOT NULL,
  updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
  PRIMARY KEY (consumer, stream, shard)
) WITH (fillfactor = 50);
