-- What merchants are told. Receivers are chosen by the events' own merchant; who asks for a merchant names it.

-- name: columns
p.id, p.merchant_id, p.order_id, p.sequence, p.type, p.position, p.state::text, p.correlation_id, p.traceparent, p.created_at

-- name: by_id
SELECT {columns} FROM public_events p WHERE p.id = %s;

-- name: after_position
-- The feed of one merchant, in the order in which the events happened.
SELECT {columns} FROM public_events p
WHERE p.merchant_id = %(merchant)s AND p.position > %(after)s AND p.position <= %(until)s
    AND (%(types)s::text[] IS NULL OR p.type = ANY (%(types)s::text[]))
ORDER BY p.position
LIMIT %(limit)s;

-- name: scan
-- How many events come after a position, at most so many, and the last of them.
SELECT count(*), max(s.position)
FROM (
    SELECT p.position FROM public_events p WHERE p.merchant_id = %s AND p.position > %s ORDER BY p.position LIMIT %s
) s;

-- name: last_position
SELECT coalesce((SELECT p.position FROM public_events p WHERE p.merchant_id = %s ORDER BY p.position DESC LIMIT 1), 0);

-- name: last_positions
SELECT m.id, p.position
FROM unnest(%s::uuid[]) AS m (id)
JOIN LATERAL (
    SELECT e.position FROM public_events e WHERE e.merchant_id = m.id ORDER BY e.position DESC LIMIT 1
) p ON true;

-- name: table_made_at
SELECT applied_at FROM schema_migrations WHERE version = %s;

-- name: untold_orders
-- Orders of all merchants, in order of their ids, of which things are known but not the first public event.
SELECT o.id FROM orders o
WHERE o.id > %(after)s AND o.id < %(before)s AND o.version > 1
    AND NOT EXISTS (SELECT FROM public_events p WHERE p.stream_id = o.id AND p.sequence = 1)
ORDER BY o.id
LIMIT %(limit)s;

-- name: fill_in
-- Rows as apply_public_events writes them; those that are there stay, and nothing is published.
INSERT INTO public_events (
    id, merchant_id, stream_id, stream_version, order_id, sequence, type, position, state, correlation_id, traceparent,
    created_at)
SELECT
    r.id, r.merchant_id, r.stream_id, r.stream_version, r.order_id, r.sequence, r.type, s.notification_id, r.state,
    r.correlation_id, r.traceparent, r.created_at
FROM json_to_recordset(%(rows)s::json) AS r (
    id uuid, merchant_id uuid, stream_id uuid, stream_version bigint, order_id uuid, sequence bigint, type text,
    state json, correlation_id text, traceparent text, created_at timestamptz)
JOIN stored_events s ON s.originator_id = r.stream_id AND s.originator_version = r.stream_version
ON CONFLICT (id) DO NOTHING;
