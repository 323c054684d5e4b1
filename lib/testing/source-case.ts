import type { CaseDefinition } from './conformance-case.js';
import type { SourceFeature } from './source-driver.js';
import type { SourceWorld } from './source-world.js';

/** @internal */
export type SourceCase = CaseDefinition<SourceFeature, SourceWorld>;
