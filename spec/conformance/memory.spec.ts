import { describe } from '@jest/globals';
import { publisherConformance, sourceConformance } from '../../lib/testing.js';
import { checkAll } from './check-all.js';
import { memoryPublisherDriver, memorySourceDriver } from './memory-drivers.js';

describe('fromMemory conforms', () => checkAll(memorySourceDriver, sourceConformance(memorySourceDriver)));

describe('memoryPublisher conforms', () =>
  checkAll(memoryPublisherDriver, publisherConformance(memoryPublisherDriver)));
