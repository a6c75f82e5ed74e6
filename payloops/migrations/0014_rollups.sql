-- Sums of order_stats, so that a dashboard's question reads hundreds of rows, not one for every quarter hour of a year; and
-- the index that finds a merchant's orders of one status (docs/adr/0010).

-- No append until this is committed: none may fall between the sums of what is there and those that are kept from now on.
SELECT h.position FROM log_head h FOR UPDATE;

-- order_stats by days of UTC; bucket is their beginning.
CREATE TABLE order_stats_daily (
    merchant_id uuid NOT NULL,
    bucket timestamptz NOT NULL,
    currency text NOT NULL,
    test_mode boolean NOT NULL,
    processor text NOT NULL,
    pending bigint NOT NULL,
    processing bigint NOT NULL,
    requires_action bigint NOT NULL,
    authorized bigint NOT NULL,
    captured bigint NOT NULL,
    partially_refunded bigint NOT NULL,
    refunded bigint NOT NULL,
    failed bigint NOT NULL,
    cancelled bigint NOT NULL,
    captures bigint NOT NULL,
    captured_amount numeric NOT NULL,
    refunds bigint NOT NULL,
    refunded_amount numeric NOT NULL,
    disputes_lost bigint NOT NULL,
    disputed_amount numeric NOT NULL,
    PRIMARY KEY (merchant_id, bucket, currency, test_mode, processor)
) WITH (fillfactor = 60);

-- Captures of a day of UTC up to the end of a quarter hour; there is a row for a quarter hour that has some. So where the
-- days of a time zone begin, one row says what the day of UTC had until then, whatever the zone.
CREATE TABLE captures_so_far (
    merchant_id uuid NOT NULL,
    currency text NOT NULL,
    test_mode boolean NOT NULL,
    bucket timestamptz NOT NULL,
    captures bigint NOT NULL,
    captured_amount numeric NOT NULL,
    PRIMARY KEY (merchant_id, currency, test_mode, bucket)
) WITH (fillfactor = 60);

-- Rows say by how much each number changes.
CREATE OR REPLACE FUNCTION apply_order_stats(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
BEGIN
    FOR v IN
        WITH changes AS MATERIALIZED (
            SELECT
                r.merchant_id, r.bucket, r.currency, r.test_mode, r.processor, sum(coalesce(r.pending, 0)) AS pending,
                sum(coalesce(r.processing, 0)) AS processing, sum(coalesce(r.requires_action, 0)) AS requires_action,
                sum(coalesce(r.authorized, 0)) AS authorized, sum(coalesce(r.captured, 0)) AS captured,
                sum(coalesce(r.partially_refunded, 0)) AS partially_refunded, sum(coalesce(r.refunded, 0)) AS refunded,
                sum(coalesce(r.failed, 0)) AS failed, sum(coalesce(r.cancelled, 0)) AS cancelled,
                sum(coalesce(r.captures, 0)) AS captures, sum(coalesce(r.captured_amount, 0)) AS captured_amount,
                sum(coalesce(r.refunds, 0)) AS refunds, sum(coalesce(r.refunded_amount, 0)) AS refunded_amount,
                sum(coalesce(r.disputes_lost, 0)) AS disputes_lost, sum(coalesce(r.disputed_amount, 0)) AS disputed_amount
            FROM json_to_recordset(p_rows) AS r (
                c integer, merchant_id uuid, bucket timestamptz, currency text, test_mode boolean, processor text,
                pending bigint, processing bigint, requires_action bigint, authorized bigint, captured bigint,
                partially_refunded bigint, refunded bigint, failed bigint, cancelled bigint, captures bigint,
                captured_amount bigint, refunds bigint, refunded_amount bigint, disputes_lost bigint,
                disputed_amount bigint)
            WHERE r.c <> ALL (p_refused)
            GROUP BY r.merchant_id, r.bucket, r.currency, r.test_mode, r.processor
        ), daily AS (
            INSERT INTO order_stats_daily AS t (
                merchant_id, bucket, currency, test_mode, processor, pending, processing, requires_action, authorized,
                captured, partially_refunded, refunded, failed, cancelled, captures, captured_amount, refunds,
                refunded_amount, disputes_lost, disputed_amount)
            SELECT merchant_id, date_bin('1 day', bucket, '2000-01-01Z'), currency, test_mode, processor, sum(pending),
                sum(processing), sum(requires_action), sum(authorized), sum(captured), sum(partially_refunded),
                sum(refunded), sum(failed), sum(cancelled), sum(captures), sum(captured_amount), sum(refunds),
                sum(refunded_amount), sum(disputes_lost), sum(disputed_amount)
            FROM changes
            GROUP BY 1, 2, 3, 4, 5
            ON CONFLICT (merchant_id, bucket, currency, test_mode, processor) DO UPDATE SET
                pending = t.pending + excluded.pending, processing = t.processing + excluded.processing,
                requires_action = t.requires_action + excluded.requires_action,
                authorized = t.authorized + excluded.authorized, captured = t.captured + excluded.captured,
                partially_refunded = t.partially_refunded + excluded.partially_refunded,
                refunded = t.refunded + excluded.refunded, failed = t.failed + excluded.failed,
                cancelled = t.cancelled + excluded.cancelled, captures = t.captures + excluded.captures,
                captured_amount = t.captured_amount + excluded.captured_amount, refunds = t.refunds + excluded.refunds,
                refunded_amount = t.refunded_amount + excluded.refunded_amount,
                disputes_lost = t.disputes_lost + excluded.disputes_lost,
                disputed_amount = t.disputed_amount + excluded.disputed_amount
        ), quarterly AS (
            INSERT INTO order_stats AS t (
                merchant_id, bucket, currency, test_mode, processor, pending, processing, requires_action, authorized,
                captured, partially_refunded, refunded, failed, cancelled, captures, captured_amount, refunds,
                refunded_amount, disputes_lost, disputed_amount)
            SELECT * FROM changes
            ON CONFLICT (merchant_id, bucket, currency, test_mode, processor) DO UPDATE SET
                pending = t.pending + excluded.pending, processing = t.processing + excluded.processing,
                requires_action = t.requires_action + excluded.requires_action,
                authorized = t.authorized + excluded.authorized, captured = t.captured + excluded.captured,
                partially_refunded = t.partially_refunded + excluded.partially_refunded,
                refunded = t.refunded + excluded.refunded, failed = t.failed + excluded.failed,
                cancelled = t.cancelled + excluded.cancelled, captures = t.captures + excluded.captures,
                captured_amount = t.captured_amount + excluded.captured_amount, refunds = t.refunds + excluded.refunds,
                refunded_amount = t.refunded_amount + excluded.refunded_amount,
                disputes_lost = t.disputes_lost + excluded.disputes_lost,
                disputed_amount = t.disputed_amount + excluded.disputed_amount
        )
        SELECT c.merchant_id, c.currency, c.test_mode, c.bucket, date_bin('1 day', c.bucket, '2000-01-01Z') AS day,
            sum(c.captures) AS captures, sum(c.captured_amount) AS amount
        FROM changes c
        WHERE c.captures <> 0 OR c.captured_amount <> 0
        GROUP BY 1, 2, 3, 4
        ORDER BY 4
    LOOP
        -- Later quarters of the day are there already when an event comes from a clock that is behind: at most 95.
        UPDATE captures_so_far t SET captures = t.captures + v.captures, captured_amount = t.captured_amount + v.amount
        WHERE t.merchant_id = v.merchant_id AND t.currency = v.currency AND t.test_mode = v.test_mode
            AND t.bucket >= v.bucket AND t.bucket < v.day + interval '1 day';
        INSERT INTO captures_so_far (merchant_id, currency, test_mode, bucket, captures, captured_amount)
        SELECT v.merchant_id, v.currency, v.test_mode, v.bucket, v.captures + coalesce(b.captures, 0),
            v.amount + coalesce(b.captured_amount, 0)
        FROM (VALUES (1)) AS one
        LEFT JOIN LATERAL (
            SELECT t.captures, t.captured_amount FROM captures_so_far t
            WHERE t.merchant_id = v.merchant_id AND t.currency = v.currency AND t.test_mode = v.test_mode
                AND t.bucket >= v.day AND t.bucket < v.bucket
            ORDER BY t.bucket DESC
            LIMIT 1
        ) b ON true
        ON CONFLICT (merchant_id, currency, test_mode, bucket) DO NOTHING;
    END LOOP;
END
$$;

-- What has been counted until now. order_stats has a row for a merchant's quarter hours with orders, not one for each order.
INSERT INTO order_stats_daily
SELECT merchant_id, date_bin('1 day', bucket, '2000-01-01Z'), currency, test_mode, processor, sum(pending), sum(processing),
    sum(requires_action), sum(authorized), sum(captured), sum(partially_refunded), sum(refunded), sum(failed),
    sum(cancelled), sum(captures), sum(captured_amount), sum(refunds), sum(refunded_amount), sum(disputes_lost),
    sum(disputed_amount)
FROM order_stats
GROUP BY 1, 2, 3, 4, 5;

INSERT INTO captures_so_far
SELECT q.merchant_id, q.currency, q.test_mode, q.bucket, sum(q.captures) OVER day, sum(q.captured_amount) OVER day
FROM (
    SELECT merchant_id, currency, test_mode, bucket, sum(captures) AS captures, sum(captured_amount) AS captured_amount
    FROM order_stats
    WHERE captures <> 0 OR captured_amount <> 0
    GROUP BY 1, 2, 3, 4
) q
WINDOW day AS (
    PARTITION BY q.merchant_id, q.currency, q.test_mode, date_bin('1 day', q.bucket, '2000-01-01Z') ORDER BY q.bucket);

-- A list of one status finds its orders wherever they are. It makes a change of status one of every index of the row;
-- most changes were that already, for the processor's id is in an index too.
CREATE INDEX orders_merchant_status_idx ON orders (merchant_id, test_mode, status, created_at DESC, id DESC);
