-- The append path, cheaper: the checks are read once, look-ups have plans that hold, and counts come together.

-- What is to be checked of a command, and written with it: see append_batch.
CREATE TYPE append_check AS (
    c integer,
    key uuid,
    claim text,
    owner uuid,
    idem uuid,
    merchant uuid,
    hash text,
    status integer,
    body text,
    sealed boolean,
    flight integer
);

-- A session keeps the plans of the function's statements, and begins when the tables are small: then a look-up by primary key
-- is planned as a scan, and stays one however large the table gets, until statistics are gathered. All that is looked for has an
-- index, so no plan may do without.
--
-- Appends a batch of commands in one transaction. Only an offending command is left out, never the batch.
--
-- p_command … p_state: the events, in order, each with the number of its command. A stream occurs in one command only, and
-- its events stand next to each other.
-- p_checks: per command that has any, {c, key (API key that must still hold), claim, owner,
--   idem, merchant, hash, status, body, sealed, flight (seconds that the first request may wait)}.
-- p_orders …: rows of the read tables, each with its command's number c.
--
-- Returns a row per command: outcome is
--   appended      at first_position (null when it has no events)
--   same          these very events are in the log already, all of them: an earlier try was committed
--   conflict      the stream has moved on, or is not that far
--   replayed      the idempotency key has been used: the stored request hash and response are returned
--   in_flight     as replayed, and the first request still waits for its outcome
--   unauthorized  the API key is unknown, revoked or expired
--   claimed       somebody else holds the claim
CREATE OR REPLACE FUNCTION append_batch(
    p_command integer[],
    p_stream uuid[],
    p_version bigint[],
    p_topic text[],
    p_state bytea[],
    p_checks json DEFAULT NULL,
    p_merchants json DEFAULT NULL,
    p_merchant_keys json DEFAULT NULL,
    p_api_keys json DEFAULT NULL,
    p_processor_configs json DEFAULT NULL,
    p_orders json DEFAULT NULL,
    p_transactions json DEFAULT NULL,
    p_refunds json DEFAULT NULL,
    p_public_events json DEFAULT NULL,
    p_webhook_endpoints json DEFAULT NULL,
    p_webhook_deliveries json DEFAULT NULL,
    p_webhook_attempts json DEFAULT NULL,
    p_processor_events json DEFAULT NULL,
    p_checkout_sessions json DEFAULT NULL,
    p_order_stats json DEFAULT NULL,
    p_order_emails json DEFAULT NULL,
    p_outbox json DEFAULT NULL
) RETURNS TABLE (
    command integer, outcome text, first_position bigint,
    stored_hash text, stored_status integer, stored_body text, stored_sealed boolean
) LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    v_head bigint;
    v_now timestamptz;
    v_found integer[];
    v_denied integer[];
    v_checks append_check[];
    v_claims boolean := false;
    v_keys boolean := false;
    v_refused integer[] := '{}';
    v_count bigint;
    v_outbox bigint := 0;
BEGIN
    -- The lock first, in a statement of its own: what is read after it sees all that was committed before.
    SELECT h.position INTO STRICT v_head FROM log_head h FOR UPDATE;
    v_now := clock_timestamp();

    -- A stream goes on where it ends. One look at the end of each stream tells.
    SELECT array_agg(DISTINCT g.c) INTO v_found
    FROM (
        SELECT e.c, e.stream, e.version, e.stream = lag(e.stream) OVER w AS goes_on, e.version - lag(e.version) OVER w AS step
        FROM unnest(p_command, p_stream, p_version) WITH ORDINALITY AS e (c, stream, version, place)
        WINDOW w AS (ORDER BY e.place)
    ) g
    WHERE CASE WHEN g.goes_on THEN g.step <> 1
        ELSE g.version <> 1 + coalesce(
            (SELECT max(s.originator_version) FROM stored_events s WHERE s.originator_id = g.stream), 0)
        END;

    IF v_found IS NULL THEN
        v_found := '{}';
    ELSE
        -- All events of the command are there, byte for byte (each names its command by a fresh id): this is the second
        -- try of a batch whose answer was lost. It was allowed then, whatever has become of the API key since.
        v_refused := array(
            SELECT e.c
            FROM unnest(p_command, p_stream, p_version, p_topic, p_state) AS e (c, stream, version, topic, state)
            LEFT JOIN stored_events s ON s.originator_id = e.stream AND s.originator_version = e.version
                AND s.topic = e.topic AND s.state = e.state
            WHERE e.c = ANY (v_found)
            GROUP BY e.c
            HAVING count(*) = count(s.notification_id));
        v_found := array(SELECT unnest(v_found) EXCEPT SELECT unnest(v_refused));
        RETURN QUERY
            SELECT e.c, 'same', min(s.notification_id), NULL::text, NULL::integer, NULL::text, NULL::boolean
            FROM unnest(p_command, p_stream, p_version) AS e (c, stream, version)
            JOIN stored_events s ON s.originator_id = e.stream AND s.originator_version = e.version
            WHERE e.c = ANY (v_refused) GROUP BY e.c;
    END IF;

    IF p_checks IS NOT NULL THEN
        -- Read once: what of it a batch does not have, costs it no statement.
        SELECT array_agg(k), bool_or(k.claim IS NOT NULL), bool_or(k.idem IS NOT NULL),
            -- A value, not EXISTS: of that the planner may make a hash of all keys.
            array_agg(k.c) FILTER (WHERE k.key IS NOT NULL AND k.c <> ALL (v_refused) AND (
                SELECT a.id FROM api_keys a
                WHERE a.id = k.key AND a.revoked_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > v_now)) IS NULL)
        INTO v_checks, v_claims, v_keys, v_denied
        FROM json_populate_recordset(NULL::append_check, p_checks) k;
        IF v_denied IS NOT NULL THEN
            v_refused := v_refused || v_denied;
            v_found := array(SELECT unnest(v_found) EXCEPT SELECT unnest(v_denied));
            RETURN QUERY SELECT u, 'unauthorized', NULL::bigint, NULL::text, NULL::integer, NULL::text, NULL::boolean
                FROM unnest(v_denied) u;
        END IF;
    END IF;

    IF v_keys THEN
        -- A used idempotency key is told before a conflict: the conflict may be with the first request's own events.
        RETURN QUERY
            SELECT k.c, CASE WHEN i.in_flight_until > v_now THEN 'in_flight' ELSE 'replayed' END, NULL::bigint,
                i.request_hash, i.response_status, i.response_body, i.response_sealed
            FROM unnest(v_checks) k
            JOIN idempotency_keys i ON i.id = k.idem
            WHERE k.c <> ALL (v_refused);
        IF FOUND THEN
            v_refused := v_refused || array(
                SELECT k.c FROM unnest(v_checks) k
                JOIN idempotency_keys i ON i.id = k.idem WHERE k.c <> ALL (v_refused));
            v_found := array(SELECT unnest(v_found) EXCEPT SELECT unnest(v_refused));
        END IF;
    END IF;

    IF cardinality(v_found) > 0 THEN
        v_refused := v_refused || v_found;
        RETURN QUERY SELECT u, 'conflict', NULL::bigint, NULL::text, NULL::integer, NULL::text, NULL::boolean
            FROM unnest(v_found) u;
    END IF;

    IF v_claims THEN
        v_denied := array(
            SELECT k.c FROM unnest(v_checks) k
            JOIN claims l ON l.claim = k.claim AND l.owner <> k.owner
            WHERE k.c <> ALL (v_refused));
        IF cardinality(v_denied) > 0 THEN
            v_refused := v_refused || v_denied;
            RETURN QUERY SELECT u, 'claimed', NULL::bigint, NULL::text, NULL::integer, NULL::text, NULL::boolean
                FROM unnest(v_denied) u;
        END IF;

        INSERT INTO claims (claim, owner)
        SELECT k.claim, k.owner FROM unnest(v_checks) k
        WHERE k.claim IS NOT NULL AND k.c <> ALL (v_refused)
        ON CONFLICT (claim) DO NOTHING;
    END IF;

    IF v_keys THEN
        INSERT INTO idempotency_keys
            (id, merchant_id, request_hash, response_status, response_body, response_sealed, in_flight_until, created_at)
        SELECT k.idem, k.merchant, k.hash, k.status, k.body, coalesce(k.sealed, false),
            v_now + k.flight * interval '1 second', v_now
        FROM unnest(v_checks) k
        WHERE k.idem IS NOT NULL AND k.c <> ALL (v_refused);
    END IF;

    INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id, recorded_at)
    SELECT e.stream, e.version, e.topic, e.state, v_head + row_number() OVER (ORDER BY e.place), v_now
    FROM unnest(p_command, p_stream, p_version, p_topic, p_state)
        WITH ORDINALITY AS e (c, stream, version, topic, state, place)
    WHERE e.c <> ALL (v_refused);
    GET DIAGNOSTICS v_count = ROW_COUNT;

    IF p_merchants IS NOT NULL THEN PERFORM apply_merchants(p_merchants, v_refused); END IF;
    IF p_merchant_keys IS NOT NULL THEN PERFORM apply_merchant_keys(p_merchant_keys, v_refused); END IF;
    IF p_api_keys IS NOT NULL THEN PERFORM apply_api_keys(p_api_keys, v_refused); END IF;
    IF p_processor_configs IS NOT NULL THEN PERFORM apply_processor_configs(p_processor_configs, v_refused); END IF;
    IF p_orders IS NOT NULL THEN PERFORM apply_orders(p_orders, v_refused); END IF;
    IF p_transactions IS NOT NULL THEN PERFORM apply_transactions(p_transactions, v_refused); END IF;
    IF p_refunds IS NOT NULL THEN PERFORM apply_refunds(p_refunds, v_refused); END IF;
    IF p_webhook_endpoints IS NOT NULL THEN PERFORM apply_webhook_endpoints(p_webhook_endpoints, v_refused); END IF;
    IF p_webhook_attempts IS NOT NULL THEN PERFORM apply_webhook_attempts(p_webhook_attempts, v_refused); END IF;
    IF p_processor_events IS NOT NULL THEN PERFORM apply_processor_events(p_processor_events, v_refused); END IF;
    IF p_checkout_sessions IS NOT NULL THEN PERFORM apply_checkout_sessions(p_checkout_sessions, v_refused); END IF;
    IF p_order_stats IS NOT NULL THEN PERFORM apply_order_stats(p_order_stats, v_refused); END IF;
    IF p_order_emails IS NOT NULL THEN PERFORM apply_order_emails(p_order_emails, v_refused); END IF;
    IF p_outbox IS NOT NULL THEN v_outbox := apply_outbox(p_outbox, v_refused); END IF;
    -- After the starts of workflows: what passes the turn on tells a workflow to proceed.
    IF p_webhook_deliveries IS NOT NULL THEN
        v_outbox := v_outbox + apply_webhook_deliveries(p_webhook_deliveries, v_refused);
    END IF;
    -- After the order's own effects, and after the endpoints: an event that has a receiver writes an outbox row too.
    IF p_public_events IS NOT NULL THEN v_outbox := v_outbox + apply_public_events(p_public_events, v_refused); END IF;

    IF v_count > 0 THEN
        UPDATE log_head SET position = v_head + v_count;
        -- One notice a batch: the new head, and whether there is work for a relay.
        PERFORM pg_notify('payloops', (v_head + v_count)::text || CASE WHEN v_outbox > 0 THEN ' outbox' ELSE '' END);
    END IF;

    RETURN QUERY
        SELECT g.c, 'appended', min(g.position), NULL::text, NULL::integer, NULL::text, NULL::boolean
        FROM (
            SELECT e.c, v_head + row_number() OVER (ORDER BY e.place) AS position
            FROM unnest(p_command, p_stream, p_version) WITH ORDINALITY AS e (c, stream, version, place)
            WHERE e.c <> ALL (v_refused)
        ) g
        GROUP BY g.c;
END
$$;

-- Rows say by how much each number changes. A change that many commands of a batch make comes once, with their numbers (cs): of a
-- busy merchant's creates that is one row to read, not one each. A process of the release before sends one each (c).
CREATE OR REPLACE FUNCTION apply_order_stats(p_rows json, p_refused integer[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
BEGIN
    FOR v IN
        WITH changes AS MATERIALIZED (
            SELECT
                r.merchant_id, r.bucket, r.currency, r.test_mode, r.processor, sum(k.n * coalesce(r.pending, 0)) AS pending,
                sum(k.n * coalesce(r.processing, 0)) AS processing,
                sum(k.n * coalesce(r.requires_action, 0)) AS requires_action,
                sum(k.n * coalesce(r.authorized, 0)) AS authorized, sum(k.n * coalesce(r.captured, 0)) AS captured,
                sum(k.n * coalesce(r.partially_refunded, 0)) AS partially_refunded,
                sum(k.n * coalesce(r.refunded, 0)) AS refunded, sum(k.n * coalesce(r.failed, 0)) AS failed,
                sum(k.n * coalesce(r.cancelled, 0)) AS cancelled, sum(k.n * coalesce(r.captures, 0)) AS captures,
                sum(k.n * coalesce(r.captured_amount, 0)) AS captured_amount, sum(k.n * coalesce(r.refunds, 0)) AS refunds,
                sum(k.n * coalesce(r.refunded_amount, 0)) AS refunded_amount,
                sum(k.n * coalesce(r.disputes_lost, 0)) AS disputes_lost,
                sum(k.n * coalesce(r.disputed_amount, 0)) AS disputed_amount
            FROM json_to_recordset(p_rows) AS r (
                c integer, cs integer[], merchant_id uuid, bucket timestamptz, currency text, test_mode boolean,
                processor text, pending bigint, processing bigint, requires_action bigint, authorized bigint,
                captured bigint, partially_refunded bigint, refunded bigint, failed bigint, cancelled bigint,
                captures bigint, captured_amount bigint, refunds bigint, refunded_amount bigint, disputes_lost bigint,
                disputed_amount bigint)
            CROSS JOIN LATERAL (
                SELECT count(*) AS n FROM unnest(coalesce(r.cs, ARRAY[r.c])) AS u (c) WHERE u.c <> ALL (p_refused)
            ) k
            WHERE k.n > 0
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
