/** What Postgres takes for a `uuid`, and what our tokens look like. @internal */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
