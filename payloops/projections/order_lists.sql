-- The dashboard's lists of orders. {columns} are views.sql's order_columns, {count} the numbers of order_stats that count,
-- {filter} the status that is wanted, if one is. Each mode is a range of an index of its own.

-- name: numbered
-- A page by its number. How many orders lie before a place is told by counts: days of UTC, the quarter hours and the broken
-- ones at the ends of the range; then the quarter hours of the day in which the page begins. From there it is walked.
WITH parts AS (
    SELECT p.lo, p.hi, p.n, sum(p.n) OVER (ORDER BY p.lo DESC) - p.n AS ahead
    FROM (
        SELECT s.bucket AS lo, s.bucket + interval '1 day' AS hi, sum({count})::bigint AS n
        FROM order_stats_daily s
        WHERE s.merchant_id = %(merchant)s AND s.bucket >= %(days_from)s AND s.bucket < %(days_to)s
        GROUP BY s.bucket
        UNION ALL
        SELECT s.bucket, s.bucket + interval '15 minutes', sum({count})::bigint
        FROM order_stats s
        WHERE s.merchant_id = %(merchant)s AND s.bucket >= %(quarters_from)s AND s.bucket < %(days_from)s
        GROUP BY s.bucket
        UNION ALL
        SELECT s.bucket, s.bucket + interval '15 minutes', sum({count})::bigint
        FROM order_stats s
        WHERE s.merchant_id = %(merchant)s AND s.bucket >= %(days_to)s AND s.bucket < %(quarters_to)s
        GROUP BY s.bucket
        UNION ALL
        SELECT e.lo, e.hi, (
            SELECT count(*) FROM orders w
            WHERE w.merchant_id = %(merchant)s AND w.test_mode = ANY ('{t,f}') {filter}
                AND w.created_at >= e.lo AND w.created_at < e.hi)
        FROM unnest(%(edges_from)s::timestamptz[], %(edges_to)s::timestamptz[]) AS e (lo, hi)
    ) p
    WHERE p.n > 0
), part AS (
    SELECT * FROM parts WHERE ahead <= %(offset)s AND ahead + n > %(offset)s
), place AS (
    SELECT q.hi, q.ahead
    FROM (
        SELECT part.hi, part.ahead FROM part
        UNION ALL
        SELECT s.bucket + interval '15 minutes', part.ahead + sum(s.n) OVER (ORDER BY s.bucket DESC) - s.n
        FROM part
        CROSS JOIN LATERAL (
            SELECT w.bucket, sum({count})::bigint AS n FROM order_stats w
            WHERE w.merchant_id = %(merchant)s AND w.bucket >= part.lo AND w.bucket < part.hi
            GROUP BY w.bucket
        ) s
        WHERE part.hi - part.lo > interval '15 minutes'
    ) q
    WHERE q.ahead <= %(offset)s
    ORDER BY q.ahead DESC, q.hi
    LIMIT 1
), page AS (
    SELECT r.id
    FROM place
    CROSS JOIN unnest('{t,f}'::boolean[]) AS mode (test)
    CROSS JOIN LATERAL (
        SELECT w.id, w.created_at FROM orders w
        WHERE w.merchant_id = %(merchant)s AND w.test_mode = mode.test {filter}
            AND w.created_at >= %(created_from)s AND w.created_at < least(place.hi, %(created_to)s)
        ORDER BY w.created_at DESC, w.id DESC
        LIMIT %(offset)s - place.ahead + %(limit)s
    ) r
    ORDER BY r.created_at DESC, r.id DESC
    LIMIT %(limit)s OFFSET %(offset)s - coalesce((SELECT ahead FROM place), %(offset)s)
)
SELECT n.total, {columns}, (extract(epoch FROM o.created_at) * 1000)::bigint
FROM (SELECT coalesce(sum(n), 0)::bigint AS total FROM parts) AS n
LEFT JOIN (page JOIN orders o ON o.id = page.id) ON true
ORDER BY o.created_at DESC, o.id DESC;

-- name: after
-- What follows a place.
WITH page AS (
    SELECT r.id
    FROM unnest('{t,f}'::boolean[]) AS mode (test)
    CROSS JOIN LATERAL (
        SELECT w.id, w.created_at FROM orders w
        WHERE w.merchant_id = %(merchant)s AND w.test_mode = mode.test {filter}
            AND w.created_at >= %(created_from)s AND w.created_at < %(created_to)s
            AND (w.created_at, w.id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)
        ORDER BY w.created_at DESC, w.id DESC
        LIMIT %(limit)s + 1
    ) r
    ORDER BY r.created_at DESC, r.id DESC
    LIMIT %(limit)s + 1
)
SELECT NULL, {columns}, (extract(epoch FROM o.created_at) * 1000)::bigint
FROM page JOIN orders o ON o.id = page.id
ORDER BY o.created_at DESC, o.id DESC;

-- name: found
-- By what names one order exactly, wherever it is; and by a part of a text, among the newest of the range.
WITH hits AS (
    SELECT r.id FROM orders r WHERE r.id = %(id)s::uuid
    UNION
    (SELECT r.id FROM orders r WHERE r.merchant_id = %(merchant)s AND r.external_id = %(text)s LIMIT %(hits)s)
    UNION
    (SELECT r.id FROM orders r WHERE r.merchant_id = %(merchant)s AND r.customer_id = %(text)s
        ORDER BY r.created_at DESC, r.id DESC LIMIT %(hits)s)
    UNION
    (SELECT r.id FROM orders r WHERE r.merchant_id = %(merchant)s AND r.processor_order_id = %(text)s LIMIT %(hits)s)
    UNION
    (SELECT t.order_id FROM transactions t
        WHERE t.merchant_id = %(merchant)s AND t.processor_transaction_id = %(text)s LIMIT %(hits)s)
    UNION
    (SELECT m.order_id FROM order_emails m WHERE m.merchant_id = %(merchant)s AND m.digest = %(digest)s LIMIT %(hits)s)
    UNION
    SELECT r.id
    FROM (VALUES (true), (false)) AS mode (test)
    CROSS JOIN LATERAL (
        SELECT w.id, w.external_id, w.customer_id, w.description FROM orders w
        WHERE w.merchant_id = %(merchant)s AND w.test_mode = mode.test
            AND w.created_at >= %(created_from)s AND w.created_at < %(created_to)s
        ORDER BY w.created_at DESC, w.id DESC
        LIMIT %(searched)s
    ) r
    WHERE r.external_id ILIKE %(pattern)s OR r.customer_id ILIKE %(pattern)s OR r.description ILIKE %(pattern)s
), matching AS (
    SELECT o.id, o.created_at FROM hits h JOIN orders o ON o.id = h.id
    WHERE o.merchant_id = %(merchant)s AND o.created_at >= %(created_from)s AND o.created_at < %(created_to)s
        AND (%(status)s::text IS NULL OR o.status = %(status)s)
), page AS (
    SELECT id FROM matching
    WHERE (created_at, id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT n.total, {columns}, (extract(epoch FROM o.created_at) * 1000)::bigint
FROM (SELECT count(*) AS total FROM matching
    WHERE (created_at, id) < (%(before_time)s::timestamptz, %(before_id)s::uuid)) AS n
LEFT JOIN (page JOIN orders o ON o.id = page.id) ON true
ORDER BY o.created_at DESC, o.id DESC;
