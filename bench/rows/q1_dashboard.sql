-- A million orders of one merchant, as the events would have left them: one about every 35 seconds for 400 days, in three
-- currencies, both modes and with two processors. %(merchant)s and %(orders)s are parameters.

-- name: orders
INSERT INTO orders (
    id, merchant_id, version, test_mode, external_id, amount, currency, status, amount_captured, amount_refunded, processor,
    processor_order_id, customer_id, description, metadata, capture_method, outcome_unknown, created_at, updated_at)
SELECT gen_random_uuid(), %(merchant)s, 4, o.i %% 4 <> 0, 'ord_' || o.i, o.amount,
    (ARRAY['USD', 'USD', 'USD', 'EUR', 'INR'])[1 + o.i %% 5], o.status,
    CASE WHEN o.status IN ('captured', 'partially_refunded', 'refunded') THEN o.amount ELSE 0 END,
    CASE o.status WHEN 'refunded' THEN o.amount WHEN 'partially_refunded' THEN 1 ELSE 0 END,
    CASE WHEN o.status = 'pending' THEN NULL WHEN o.i %% 3 = 0 THEN 'razorpay' ELSE 'stripe' END,
    CASE WHEN o.status <> 'pending' THEN 'pi_' || o.i END, 'cust_' || o.i %% 5000, 'number ' || o.i, '{}', 'automatic', false,
    o.at, o.at
FROM (
    SELECT i, 100 + i %% 9973 AS amount, date_trunc('milliseconds', now() - (%(orders)s - i) * interval '34.56 seconds') AS at,
        CASE i %% 1009
            WHEN 0 THEN 'failed' WHEN 1 THEN 'refunded' WHEN 2 THEN 'partially_refunded' WHEN 3 THEN 'requires_action'
            ELSE CASE WHEN i %% 17 = 0 THEN 'pending' ELSE 'captured' END
        END AS status
    FROM generate_series(1, %(orders)s) AS i
) o;

-- name: transactions
INSERT INTO transactions (
    id, order_id, merchant_id, version, type, amount, status, processor_transaction_id, created_at, updated_at)
SELECT gen_random_uuid(), id, merchant_id, 3, 'capture', amount_captured, 'success', 'ch_' || external_id, created_at,
    updated_at
FROM orders
WHERE amount_captured > 0;

-- name: emails
INSERT INTO order_emails (merchant_id, digest, order_id)
SELECT merchant_id, 'h1.' || md5(external_id), id FROM orders;

-- name: quarters
-- The row of no processor stays, with nothing in it, when an order goes to one.
INSERT INTO order_stats (
    merchant_id, bucket, currency, test_mode, processor, pending, processing, requires_action, authorized, captured,
    partially_refunded, refunded, failed, cancelled, captures, captured_amount, refunds, refunded_amount, disputes_lost,
    disputed_amount)
SELECT o.merchant_id, date_bin('15 minutes', o.created_at, '2000-01-01Z'), o.currency, o.test_mode, p.name,
    count(*) FILTER (WHERE p.its AND o.status = 'pending'), 0,
    count(*) FILTER (WHERE p.its AND o.status = 'requires_action'), 0,
    count(*) FILTER (WHERE p.its AND o.status = 'captured'),
    count(*) FILTER (WHERE p.its AND o.status = 'partially_refunded'),
    count(*) FILTER (WHERE p.its AND o.status = 'refunded'), count(*) FILTER (WHERE p.its AND o.status = 'failed'), 0,
    count(*) FILTER (WHERE p.its AND o.amount_captured > 0), sum(CASE WHEN p.its THEN o.amount_captured ELSE 0 END),
    count(*) FILTER (WHERE p.its AND o.amount_refunded > 0), sum(CASE WHEN p.its THEN o.amount_refunded ELSE 0 END), 0, 0
FROM orders o
CROSS JOIN LATERAL (
    SELECT '', o.processor IS NULL
    UNION ALL
    SELECT o.processor, true WHERE o.processor IS NOT NULL
) AS p (name, its)
GROUP BY 1, 2, 3, 4, 5;

-- name: days
INSERT INTO order_stats_daily
SELECT merchant_id, date_bin('1 day', bucket, '2000-01-01Z'), currency, test_mode, processor, sum(pending), sum(processing),
    sum(requires_action), sum(authorized), sum(captured), sum(partially_refunded), sum(refunded), sum(failed),
    sum(cancelled), sum(captures), sum(captured_amount), sum(refunds), sum(refunded_amount), sum(disputes_lost),
    sum(disputed_amount)
FROM order_stats
GROUP BY 1, 2, 3, 4, 5;

-- name: captures
INSERT INTO captures_so_far
SELECT q.merchant_id, q.currency, q.test_mode, q.bucket, sum(q.captures) OVER day, sum(q.amount) OVER day
FROM (
    SELECT merchant_id, currency, test_mode, bucket, sum(captures) AS captures, sum(captured_amount) AS amount
    FROM order_stats
    WHERE captures > 0
    GROUP BY 1, 2, 3, 4
) q
WINDOW day AS (
    PARTITION BY q.merchant_id, q.currency, q.test_mode, date_bin('1 day', q.bucket, '2000-01-01Z') ORDER BY q.bucket);
