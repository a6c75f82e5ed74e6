-- Rows of order_emails that are made again from the orders' own, sealed addresses.

-- name: sealed
-- Of all merchants: a batch of orders that have an address, in order of their ids.
SELECT id, merchant_id, customer_email FROM orders
WHERE id > %(after)s AND customer_email IS NOT NULL
ORDER BY id
LIMIT %(limit)s;

-- name: write
WITH written AS (
    INSERT INTO order_emails (merchant_id, digest, order_id)
    SELECT * FROM unnest(%(merchants)s::uuid[], %(digests)s::text[], %(orders)s::uuid[])
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM written;

-- name: missing
-- Of the rows that should be there.
SELECT s.order_id
FROM unnest(%(merchants)s::uuid[], %(digests)s::text[], %(orders)s::uuid[]) AS s (merchant_id, digest, order_id)
WHERE NOT EXISTS (
    SELECT FROM order_emails m
    WHERE m.merchant_id = s.merchant_id AND m.digest = s.digest AND m.order_id = s.order_id);
