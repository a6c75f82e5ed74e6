-- Queries of the inbox. Each names the merchant.

-- name: webhook_secrets
-- The merchant's credentials at a processor, then those that they replaced, as long as their webhook secret holds.
SELECT s.credentials
FROM processor_configs p
CROSS JOIN LATERAL (
    SELECT p.credentials, 0 AS age
    UNION ALL
    SELECT r.one ->> 'credentials', r.age
    FROM json_array_elements(p.retired) WITH ORDINALITY AS r (one, age)
    WHERE (r.one ->> 'expiresAt')::timestamptz > clock_timestamp()
) s
WHERE p.merchant_id = %(merchant)s AND p.processor = %(processor)s AND p.removed_at IS NULL
    AND s.credentials IS NOT NULL
ORDER BY s.age;

-- name: event_columns
e.id, e.processor, e.processor_event_id, e.type, e.order_id, e.status, e.reason, e.received_at, e.since,
e.processed_at

-- name: page
-- Newest first, after the cursor (before_time, before_id).
SELECT {event_columns}
FROM processor_events e
WHERE e.merchant_id = %(merchant)s
    AND (e.received_at, e.id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)
    AND (%(status)s::text IS NULL OR e.status = %(status)s)
    AND (%(processor)s::text IS NULL OR e.processor = %(processor)s)
    AND (%(type)s::text IS NULL OR e.type = %(type)s)
ORDER BY e.received_at DESC, e.id DESC
LIMIT %(limit)s;

-- name: page_of_order
SELECT {event_columns}
FROM processor_events e
WHERE e.merchant_id = %(merchant)s AND e.order_id = %(order)s
    AND (e.received_at, e.id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)
    AND (%(status)s::text IS NULL OR e.status = %(status)s)
    AND (%(processor)s::text IS NULL OR e.processor = %(processor)s)
    AND (%(type)s::text IS NULL OR e.type = %(type)s)
ORDER BY e.received_at DESC, e.id DESC
LIMIT %(limit)s;

-- name: page_in_trouble
-- The statuses are written out, so that the partial index serves.
SELECT {event_columns}
FROM processor_events e
WHERE e.merchant_id = %(merchant)s AND e.status = %(status)s AND e.status IN ('quarantined', 'failed')
    AND (e.received_at, e.id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)
    AND (%(processor)s::text IS NULL OR e.processor = %(processor)s)
    AND (%(type)s::text IS NULL OR e.type = %(type)s)
ORDER BY e.received_at DESC, e.id DESC
LIMIT %(limit)s;

-- name: one
-- With its first event, which has the body.
SELECT {event_columns}, s.topic, s.state
FROM (SELECT * FROM processor_events WHERE id = %(id)s LIMIT 1) e
JOIN stored_events s ON s.originator_id = e.id AND s.originator_version = 1
WHERE e.merchant_id = %(merchant)s;

-- name: order_by_processor_ids
-- The merchant's order that has been paid under one of these ids of the processor.
SELECT o.id FROM orders o
WHERE o.merchant_id = %(merchant)s AND o.processor = %(processor)s AND o.processor_order_id = ANY (%(ids)s::text[])
UNION ALL
SELECT o.id FROM transactions t
JOIN orders o ON o.id = t.order_id
WHERE t.merchant_id = %(merchant)s AND t.processor_transaction_id = ANY (%(ids)s::text[])
LIMIT 1;
