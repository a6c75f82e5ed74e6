-- Orders in batches, newest first, each after the last one's place. Of both modes, which are two ranges of one index.

-- name: orders
SELECT o.created_at, o.id, o.external_id, o.updated_at, o.test_mode, o.status, o.currency, o.amount, o.amount_captured,
    o.amount_refunded, o.processor, o.processor_order_id, o.customer_id, o.customer_email, o.description, o.capture_method
FROM (VALUES (true), (false)) AS mode (test)
CROSS JOIN LATERAL (
    SELECT * FROM orders r
    WHERE r.merchant_id = %(merchant)s AND r.test_mode = mode.test
        AND r.created_at >= %(created_from)s
        AND (r.created_at, r.id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)
    ORDER BY r.created_at DESC, r.id DESC
    LIMIT %(limit)s
) o
ORDER BY o.created_at DESC, o.id DESC
LIMIT %(limit)s;

-- name: transactions
-- Of a batch of orders.
SELECT t.id, t.order_id, t.type, t.status, t.amount, t.processor_transaction_id, t.error_code, t.error_message,
    t.created_at, t.updated_at
FROM unnest(%(orders)s::uuid[]) WITH ORDINALITY AS o (id, place)
JOIN transactions t ON t.order_id = o.id
WHERE t.merchant_id = %(merchant)s
ORDER BY o.place, t.version, t.id;
