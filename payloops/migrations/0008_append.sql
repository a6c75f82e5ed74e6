-- append_batch with the read tables of webhooks. A new parameter makes another function, so the old one goes.
DROP FUNCTION append_batch(
    integer[], uuid[], bigint[], text[], bytea[], json, json, json, json, json, json, json, json, json);

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
CREATE FUNCTION append_batch(
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
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_head bigint;
    v_now timestamptz;
    v_found integer[];
    v_denied integer[];
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
        v_denied := array(
            SELECT k.c
            FROM json_to_recordset(p_checks) AS k (c integer, key uuid)
            WHERE k.key IS NOT NULL AND k.c <> ALL (v_refused) AND NOT EXISTS (
                SELECT FROM api_keys a
                WHERE a.id = k.key AND a.revoked_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > v_now)));
        IF cardinality(v_denied) > 0 THEN
            v_refused := v_refused || v_denied;
            v_found := array(SELECT unnest(v_found) EXCEPT SELECT unnest(v_denied));
            RETURN QUERY SELECT u, 'unauthorized', NULL::bigint, NULL::text, NULL::integer, NULL::text, NULL::boolean
                FROM unnest(v_denied) u;
        END IF;
    END IF;

    IF p_checks IS NOT NULL THEN
        -- A used idempotency key is told before a conflict: the conflict may be with the first request's own events.
        RETURN QUERY
            SELECT k.c, CASE WHEN i.in_flight_until > v_now THEN 'in_flight' ELSE 'replayed' END, NULL::bigint,
                i.request_hash, i.response_status, i.response_body, i.response_sealed
            FROM json_to_recordset(p_checks) AS k (c integer, idem uuid)
            JOIN idempotency_keys i ON i.id = k.idem
            WHERE k.c <> ALL (v_refused);
        IF FOUND THEN
            v_refused := v_refused || array(
                SELECT k.c FROM json_to_recordset(p_checks) AS k (c integer, idem uuid)
                JOIN idempotency_keys i ON i.id = k.idem WHERE k.c <> ALL (v_refused));
            v_found := array(SELECT unnest(v_found) EXCEPT SELECT unnest(v_refused));
        END IF;
    END IF;

    IF cardinality(v_found) > 0 THEN
        v_refused := v_refused || v_found;
        RETURN QUERY SELECT u, 'conflict', NULL::bigint, NULL::text, NULL::integer, NULL::text, NULL::boolean
            FROM unnest(v_found) u;
    END IF;

    IF p_checks IS NOT NULL THEN
        v_denied := array(
            SELECT k.c
            FROM json_to_recordset(p_checks) AS k (c integer, claim text, owner uuid)
            JOIN claims l ON l.claim = k.claim AND l.owner <> k.owner
            WHERE k.c <> ALL (v_refused));
        IF cardinality(v_denied) > 0 THEN
            v_refused := v_refused || v_denied;
            RETURN QUERY SELECT u, 'claimed', NULL::bigint, NULL::text, NULL::integer, NULL::text, NULL::boolean
                FROM unnest(v_denied) u;
        END IF;

        INSERT INTO claims (claim, owner)
        SELECT k.claim, k.owner FROM json_to_recordset(p_checks) AS k (c integer, claim text, owner uuid)
        WHERE k.claim IS NOT NULL AND k.c <> ALL (v_refused)
        ON CONFLICT (claim) DO NOTHING;

        INSERT INTO idempotency_keys
            (id, merchant_id, request_hash, response_status, response_body, response_sealed, in_flight_until, created_at)
        SELECT k.idem, k.merchant, k.hash, k.status, k.body, coalesce(k.sealed, false),
            v_now + k.flight * interval '1 second', v_now
        FROM json_to_recordset(p_checks) AS k (
            c integer, idem uuid, merchant uuid, hash text, status integer, body text, sealed boolean, flight integer)
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
