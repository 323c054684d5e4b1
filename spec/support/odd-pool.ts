import type { PoolConfig } from 'pg';

const SETTINGS = [
  'standard_conforming_strings=off',
  'escape_string_warning=off',
  'DateStyle=SQL,DMY',
  'TimeZone=Asia/Kathmandu',
  'IntervalStyle=sql_standard',
  'extra_float_digits=0',
  'search_path=nowhere',
];

/** Connections with formats that a database may have set, and of a pg that parses nothing. */
export const ODD_POOL: PoolConfig = {
  options: SETTINGS.map((setting) => `-c ${setting}`).join(' '),
  types: { getTypeParser: () => (value: unknown) => value },
};
