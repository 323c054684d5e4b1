import pg from 'pg';
import { postgresSchema } from '../lib/postgres.js';
import { outboxWriteSql } from '../lib/stores/postgres/outbox-write-sql.js';
import { resolveNames } from '../lib/stores/postgres/postgres-names.js';
import { byHand, throughOutbox } from './outbox-effects.js';
import { onPostgres, rate } from './postgres-bed.js';
let inQuery = 0;
const counts = new Map<string, number>();
const q0 = pg.Client.prototype.query; pg.Client.prototype.query = function (this: any, a: any, ...r: any[]) { const t = String(a.text ?? a); counts.set(t, (counts.get(t) ?? 0) + 1); const b = performance.now(); try { return q0.call(this, a, ...r); } finally { inQuery += performance.now() - b; } } as any;
await onPostgres(async (postgres) => {
  const schema = await postgres.createSchema();
  await postgres.query(postgresSchema({ schema }));
  await postgres.query(`CREATE TABLE ${schema}.effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text)`);
  const pool = postgres.newPool({ max: 12 });
  const sql = outboxWriteSql(resolveNames('x', { schema }), null);
  let round = 0;
  const like = (record: string, commit: string) => async () => {
    let next = 0; round++;
    await Promise.all(Array.from({ length: 10 }, async () => {
      while (next < 20000) {
        const n = next++;
        const c = await pool.connect();
        await c.query('BEGIN');
        await c.query(record, ['me', `in/${n % 4}/${n}/${round}`, crypto.randomUUID()].slice(0, record.includes('$3') ? 3 : 2));
        await c.query(`INSERT INTO ${schema}.effects (value) VALUES ($1)`, ['9']);
        await c.query(commit);
        c.release();
      }
    }));
  };
  const plain = `INSERT INTO ${schema}.processed_events (consumer, event_id, processed_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING`;
  const variant = (timers: boolean, objects: boolean, listener: boolean, errors: boolean) => async () => {
    let next = 0; round++;
    const q = async (c: any, text: string, values: unknown[] = []) => {
      let t: any; let p = objects ? c.query({ text, values }) : c.query(text, values);
      if (!timers) return p;
      const late = new Promise((_, r) => { t = setTimeout(() => r(new Error('x')), 10_000); });
      try { return await Promise.race([p, late]); } finally { clearTimeout(t); }
    };
    await Promise.all(Array.from({ length: 10 }, async () => {
      while (next < 20000) {
        const n = next++;
        const c = await pool.connect();
        const f = () => undefined;
        if (listener) c.on('error', f);
        await q(c, 'BEGIN');
        await q(c, `INSERT INTO ${schema}.processed_events (consumer, event_id, processed_at) VALUES ($1, $2 || $3, now()) ON CONFLICT DO NOTHING`, ['me', `in/${n % 4}/${n}/${round}`, errors ? crypto.randomUUID() : 'x']);
        await q(c, `INSERT INTO ${schema}.effects (value) VALUES ($1)`, ['9']);
        await q(c, sql.mark + '; COMMIT');
        if (listener) c.removeListener('error', f);
        c.release();
      }
    }));
  };
  for (let i = 0; i < 2; i++) {
    for (const [name, make] of [['ours', () => throughOutbox(pool, schema, 20000, 'one statement', 1)]] as const) {
      const go = await make();
      counts.clear(); inQuery = 0; const cpu = process.cpuUsage();
      const r = await rate(20000, go);
      const c = process.cpuUsage(cpu);
      console.log('in query us', inQuery / 20, name, Math.round(r), 'cpu us/msg', (c.user / 20000).toFixed(0), (c.system / 20000).toFixed(0));
    }
  }
});
