export type { ConformanceCase } from './testing/conformance-case.js';
export type { ConformanceTimings } from './testing/conformance-timings.js';
export type { MessageFeature } from './testing/message-feature.js';
export { printFeaturesOff } from './testing/print-features-off.js';
export { publisherConformance } from './testing/publisher-conformance.js';
export type { PublisherDriver, PublisherFeature, PublisherTestBed, StoredMessage } from './testing/publisher-driver.js';
export { sourceConformance } from './testing/source-conformance.js';
export type { SourceDriver, SourceFeature, SourceRequest, SourceTestBed } from './testing/source-driver.js';
