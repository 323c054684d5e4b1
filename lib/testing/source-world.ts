import type { Message } from '../core/message.js';
import type { Publisher } from '../core/publisher.js';
import { defer, map, Observable } from 'rxjs';
import { check, list } from './check.js';
import type { ResolvedTimings } from './conformance-timings.js';
import { nothingLeft } from './open-handles.js';
import { createProbe, errorText, type Pipeline, type Probe } from './probe.js';
import type { SourceDriver, SourceFeature, SourceRequest, SourceTestBed } from './source-driver.js';
import { always, eventually } from './wait.js';

/** A topic and a group that nobody else has. @internal */
export interface Place {
  readonly topic: string;
  readonly group: string;
}

/** What a case of the source suite works with. @internal */
export interface SourceWorld {
  readonly bed: SourceTestBed;
  readonly features: Readonly<Record<SourceFeature, boolean>>;
  readonly timings: ResolvedTimings;
  place(partitions?: number): Promise<Place>;
  /** Leaves out what the broker has not: a key, a partition. */
  publish(topic: string, messages: readonly Message[]): Promise<void>;
  /** A publisher to a topic, for dead letters. */
  publisherTo(topic: string): Publisher<Message>;
  /** A source that is not subscribed yet. */
  make(request: SourceRequest, pipeline?: Pipeline): Probe;
  /** The same, subscribed. */
  open(request: SourceRequest, pipeline?: Pipeline): Probe;
  /** Waits until a condition holds; fails at once where a source does. */
  until(holds: () => boolean | Promise<boolean>, seen: () => string): Promise<void>;
  /** Watches that a condition holds for `quietMs`. */
  stays(holds: () => boolean | Promise<boolean>, seen: () => string): Promise<void>;
  /** Waits until each of these values was received. */
  receives(probe: Probe, texts: readonly string[]): Promise<void>;
  /** Waits for `quietMs` that nothing more is received. */
  receivesNoMore(probe: Probe): Promise<void>;
  /** Waits until every session of it has said that it is closed. */
  closes(probe: Probe): Promise<void>;
  /** `committed` of the test bed. */
  committed(place: Place): Promise<readonly (number | null)[]>;
  /** Waits until this is committed. */
  commits(place: Place, wanted: readonly (number | null)[]): Promise<void>;
  openHandles(): Promise<readonly string[]>;
}

/** Runs a case in a world of its own, and leaves nothing of it open. @internal */
export async function inSourceWorld(
  driver: SourceDriver,
  timings: ResolvedTimings,
  body: (world: SourceWorld) => Promise<void>,
): Promise<void> {
  const bed = await driver.open();
  const probes: Probe[] = [];
  const world = createWorld(bed, driver.features, timings, probes);
  let failure: { readonly error: unknown } | null = null;
  const attempt = async (step: () => unknown): Promise<void> => {
    try {
      await step();
    } catch (error) {
      failure ??= { error };
    }
  };
  await attempt(() => body(world));
  const end = (): void => {
    for (const probe of probes) {
      probe.unsubscribe();
      probe.letGo();
    }
  };
  await attempt(end);
  for (const probe of probes) await attempt(() => world.closes(probe));
  await attempt(() => bed.close?.());
  if (failure !== null) throw (failure as { readonly error: unknown }).error;
}

function createWorld(
  bed: SourceTestBed,
  features: Readonly<Record<SourceFeature, boolean>>,
  timings: ResolvedTimings,
  probes: Probe[],
): SourceWorld {
  const { withinMs, quietMs, drainMs } = timings;

  const failIfASourceFailed = (): void => {
    for (const { state, mayFail, error } of probes) {
      check(state !== 'failed' || mayFail, () => `The source failed: ${errorText(error)}`);
    }
  };
  const watched = (holds: () => boolean | Promise<boolean>) => async (): Promise<boolean> => {
    failIfASourceFailed();
    return holds();
  };
  const hook = <K extends keyof SourceTestBed>(name: K): NonNullable<SourceTestBed[K]> => {
    const found = bed[name];
    if (found === undefined) throw new Error(`The driver says that it can, but its test bed has no ${name}().`);
    return found;
  };

  const make = (request: SourceRequest, pipeline?: Pipeline): Probe => {
    const probe = createProbe(
      (telemetry, stop) => bed.source({ drainTimeoutMs: drainMs, ...request, telemetry, stop }),
      pipeline,
    );
    probes.push(probe);
    return probe;
  };

  const world: SourceWorld = {
    bed,
    features,
    timings,
    place: async (partitions = 1) => {
      const topic = await bed.createTopic({ partitions });
      return { topic, group: await bed.createGroup(topic) };
    },
    publish: async (topic, messages) => {
      await bed.publish(
        topic,
        messages.map(({ key, partition, ...message }) => ({
          ...message,
          ...(key !== undefined && features.keys ? { key } : {}),
          ...(partition !== undefined && features.partitions ? { partition } : {}),
        })),
      );
    },
    publisherTo: (topic) => ({
      connect: () =>
        new Observable((subscriber) => {
          subscriber.next({
            publish: (messages) =>
              defer(() => world.publish(topic, messages)).pipe(
                map(() => messages.map(() => ({ status: 'ok' as const }))),
              ),
          });
        }),
    }),
    make,
    open: (request, pipeline) => {
      const probe = make(request, pipeline);
      probe.subscribe();
      return probe;
    },
    until: (holds, seen) => eventually(withinMs, watched(holds), seen),
    stays: (holds, seen) => always(quietMs, watched(holds), seen),
    receives: (probe, texts) => {
      const missing = (): string[] => texts.filter((text) => !probe.texts.includes(text));
      return world.until(
        () => missing().length === 0,
        () =>
          `${missing().length} of ${texts.length} were not received: ${list(missing())}. Received: ${list(probe.texts)}.`,
      );
    },
    receivesNoMore: (probe) => {
      const before = probe.deliveries.length;
      return world.stays(
        () => probe.deliveries.length === before,
        () => `Nothing more was to come, and these came: ${list(probe.texts.slice(before))}.`,
      );
    },
    closes: (probe) =>
      // Three steps of a close are bounded by the drain time-out: what is out, the commit, the connection.
      eventually(
        withinMs + 3 * drainMs,
        () => probe.closes >= probe.sessions,
        () => `The source was ended and does not report that it is closed (state: ${probe.state}, I8).`,
      ),
    committed: async ({ group, topic }) => hook('committed')(group, topic),
    commits: async (place, wanted) => {
      let found: readonly (number | null)[] = [];
      await world.until(
        async () => {
          found = await world.committed(place);
          return wanted.every((position, partition) => found[partition] === position);
        },
        () => `Committed is [${found.join(', ')}], not [${wanted.join(', ')}].`,
      );
    },
    openHandles: async () => (features.openHandles ? hook('openHandles')() : []),
  };
  return world;
}

/** @internal */
export async function leavesNothingOpen(world: SourceWorld, before: readonly string[]): Promise<void> {
  await nothingLeft(world.timings.withinMs, before, () => world.openHandles());
}
