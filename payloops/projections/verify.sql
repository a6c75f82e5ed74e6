-- Each batch and each rule is read in a read-only snapshot. {table}, {columns}, {key} and {stream} are identifiers.

-- name: begin
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: patience
-- A full scan of a long log takes its time; folding a batch in between must not look idle.
SELECT set_config('statement_timeout', '600s', true), set_config('idle_in_transaction_session_timeout', '60s', true);

-- name: events_page
SELECT originator_id, originator_version, topic, state, notification_id
FROM stored_events
WHERE (originator_id, originator_version) > (%s, %s)
ORDER BY originator_id, originator_version
LIMIT %s;

-- name: rows_of_streams
SELECT {columns} FROM {table} WHERE {stream} = ANY (%s);

-- name: extent
-- What is there at the beginning: streams that come later are not waited for.
SELECT count(*), (SELECT originator_id FROM stored_events ORDER BY originator_id DESC LIMIT 1) FROM stored_events;

-- name: rows_without_stream
-- A stream's first event says of what kind it is.
SELECT t.{key}, count(*) OVER ()
FROM {table} t
WHERE NOT EXISTS (
    SELECT FROM stored_events s
    WHERE s.originator_id = t.{stream} AND s.originator_version = 1 AND s.topic = ANY (%s))
ORDER BY t.{key}
LIMIT %s;

-- name: log_bounds
SELECT count(*), coalesce(min(notification_id), 1), coalesce(max(notification_id), 0), (SELECT position FROM log_head),
    (SELECT count(*) FROM log_head)
FROM stored_events;

-- name: orders_out_of_bounds
SELECT id FROM orders
WHERE NOT (0 <= amount_refunded AND amount_refunded <= amount_captured AND amount_captured <= amount)
ORDER BY id
LIMIT %s;

-- name: orders_with_other_refunds
-- What an order counts as refunded is the sum of its refunds that succeeded.
SELECT o.id
FROM orders o
LEFT JOIN (
    SELECT order_id, sum(amount) AS amount FROM refunds WHERE status = 'success' GROUP BY order_id
) r ON r.order_id = o.id
WHERE o.amount_refunded <> coalesce(r.amount, 0)
ORDER BY o.id
LIMIT %s;

-- name: orders_refunded_beyond_captured
-- What is pending counts: it may still succeed.
SELECT r.order_id
FROM refunds r
LEFT JOIN orders o ON o.id = r.order_id
GROUP BY r.order_id, o.amount_captured
HAVING coalesce(sum(r.amount) FILTER (WHERE r.status <> 'failed'), 0) > coalesce(o.amount_captured, 0)
ORDER BY r.order_id
LIMIT %s;

-- name: public_events_misplaced
SELECT p.id
FROM public_events p
LEFT JOIN stored_events s ON s.originator_id = p.stream_id AND s.originator_version = p.stream_version
WHERE s.notification_id IS DISTINCT FROM p.position
ORDER BY p.id
LIMIT %s;

-- name: public_events_with_gaps
SELECT stream_id FROM public_events
GROUP BY stream_id
HAVING min(sequence) <> 1 OR max(sequence) <> count(*)
ORDER BY stream_id
LIMIT %s;

-- name: order_emails_stray
SELECT m.order_id FROM order_emails m
LEFT JOIN orders o ON o.id = m.order_id AND o.merchant_id = m.merchant_id
WHERE o.customer_email IS NULL
ORDER BY m.order_id
LIMIT %s;

-- name: order_emails_twice
SELECT order_id FROM order_emails GROUP BY order_id HAVING count(*) > 1 ORDER BY order_id LIMIT %s;

-- name: idempotency_keys_twice
SELECT id FROM idempotency_keys GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT %s;

-- name: claims_without_stream
-- A claim commits with the event that makes it.
SELECT c.claim FROM claims c
WHERE NOT EXISTS (SELECT FROM stored_events s WHERE s.originator_id = c.owner)
ORDER BY c.claim
LIMIT %s;

-- name: head
SELECT position FROM log_head;

-- name: stats
-- All counts as they are at one position of the log.
SELECT {columns} FROM {table};
