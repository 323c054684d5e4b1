import { z } from 'zod';

/** What we take of the feed: earthquakes, not quarry blasts, and no magnitude below 0. */
export const quakeSchema = z.object({
  id: z.string(),
  properties: z.object({
    type: z.literal('earthquake'),
    mag: z.number().min(0),
    place: z.string(),
    net: z.string(),
    time: z.number(),
  }),
});

export type Quake = z.infer<typeof quakeSchema>;
