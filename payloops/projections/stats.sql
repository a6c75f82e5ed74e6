-- Analytics, read from order_stats and its sums only: never from the orders themselves. {measures} are the names of
-- order_stats.MEASURES, {sums} their sums, {orders} the sum of those that count orders.

-- name: period
-- What a period counts, in rows of three kinds; all bounds are quarter hours.
--   counts   of a currency and a processor: the days of UTC that lie within, and the quarter hours before and after them
--   day      captures of the currency that is shown, on a day of UTC that the period touches
--   before   captures of that currency since the day of UTC began, until one of the boundaries
-- Days and boundaries are numbered from 0. Numbers come as text: the driver would take longer over them than the server.
WITH counted AS MATERIALIZED (
    SELECT p.currency, p.processor, {sums}
    FROM (
        SELECT d.currency, d.processor, {measures} FROM order_stats_daily d
        WHERE d.merchant_id = %(merchant)s AND d.test_mode = ANY (%(modes)s)
            AND d.bucket >= %(days_from)s AND d.bucket < %(days_to)s
        UNION ALL
        SELECT s.currency, s.processor, {measures} FROM order_stats s
        WHERE s.merchant_id = %(merchant)s AND s.test_mode = ANY (%(modes)s)
            AND s.bucket >= %(from)s AND s.bucket < %(days_from)s
        UNION ALL
        SELECT s.currency, s.processor, {measures} FROM order_stats s
        WHERE s.merchant_id = %(merchant)s AND s.test_mode = ANY (%(modes)s)
            AND s.bucket >= %(days_to)s AND s.bucket < %(to)s
    ) p
    GROUP BY p.currency, p.processor
), shown AS MATERIALIZED (
    SELECT coalesce(%(currency)s, (
        SELECT c.currency FROM counted c
        GROUP BY c.currency
        ORDER BY sum({orders}) DESC, sum(c.captures) DESC, c.currency
        LIMIT 1
    )) AS currency
)
SELECT 'counts' AS kind, currency, processor, 0 AS number, concat_ws(',', {measures}) AS numbers FROM counted
UNION ALL
SELECT 'day', '', '', (extract(epoch FROM d.bucket - %(first_day)s) / 86400)::integer,
    concat_ws(',', sum(d.captures), sum(d.captured_amount))
FROM order_stats_daily d
WHERE d.merchant_id = %(merchant)s AND d.currency = (SELECT currency FROM shown) AND d.test_mode = ANY (%(modes)s)
    AND d.bucket >= %(first_day)s AND d.bucket < %(to)s
GROUP BY d.bucket
UNION ALL
SELECT 'before', '', '', b.number::integer - 1, concat_ws(',', sum(q.captures), sum(q.captured_amount))
FROM unnest(%(boundaries)s::timestamptz[]) WITH ORDINALITY AS b (moment, number)
CROSS JOIN unnest(%(modes)s) AS m (test)
CROSS JOIN LATERAL (
    SELECT c.captures, c.captured_amount FROM captures_so_far c
    WHERE c.merchant_id = %(merchant)s AND c.currency = (SELECT currency FROM shown) AND c.test_mode = m.test
        AND c.bucket >= date_bin('1 day', b.moment, '2000-01-01Z') AND c.bucket < b.moment
    ORDER BY c.bucket DESC
    LIMIT 1
) q
WHERE b.moment > date_bin('1 day', b.moment, '2000-01-01Z')
GROUP BY b.number;
