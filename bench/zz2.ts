import { onPostgres } from './postgres-bed.js';
await onPostgres(async (postgres) => {
  const pool = postgres.newPool({ max: 12 });
  for (const [name, text] of [['simple', 'SELECT 1'], ['multi', 'SHOW server_version; SELECT 1'], ['begin', 'BEGIN'], ['commit', 'COMMIT'], ['multicommit', 'SHOW server_version; COMMIT']] as const) {
    const cpu = process.cpuUsage();
    const b = performance.now();
    await Promise.all(Array.from({ length: 10 }, async () => { const c = await pool.connect(); for (let i = 0; i < 500; i++) await c.query({ text, values: [] }); c.release(); }));
    const c = process.cpuUsage(cpu);
    console.log(name, ((performance.now() - b) / 5000 * 1000).toFixed(0), 'us', 'cpu', (c.user / 5000).toFixed(0), (c.system / 5000).toFixed(0));
  }
});
