-- name: load_stream
SELECT originator_version, topic, state
FROM stored_events
WHERE originator_id = %s AND originator_version > %s
ORDER BY originator_version;

-- name: read_stream
SELECT notification_id, originator_id, originator_version, topic, state, recorded_at
FROM stored_events
WHERE originator_id = %s AND originator_version > %s
ORDER BY originator_version
LIMIT %s;

-- name: read_log
SELECT notification_id, originator_id, originator_version, topic, state, recorded_at
FROM stored_events
WHERE notification_id > %s
ORDER BY notification_id
LIMIT %s;

-- name: head
SELECT position FROM log_head;

-- name: grown_streams
SELECT DISTINCT originator_id
FROM stored_events
WHERE notification_id > %s AND notification_id <= %s AND originator_id = ANY (%s);

-- name: prove_request
-- What a refusal needs to know: whether the API key still holds, and whether the idempotency key was used.
SELECT
    %(key)s::uuid IS NULL OR EXISTS (
        SELECT FROM api_keys a
        WHERE a.id = %(key)s AND a.revoked_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > clock_timestamp())),
    i.request_hash, i.response_status, i.response_body, i.response_sealed,
    coalesce(i.in_flight_until > clock_timestamp(), false)
FROM (SELECT) AS one
LEFT JOIN idempotency_keys i ON i.id = %(idem)s::uuid;

-- name: finish_idempotency
-- The first request's last word, while it still has the floor; said twice (its answer was lost), it counts once.
UPDATE idempotency_keys
SET response_status = %(status)s, response_body = %(body)s, response_sealed = %(sealed)s, in_flight_until = NULL
WHERE id = %(id)s AND (
    in_flight_until > clock_timestamp()
    OR (in_flight_until IS NULL AND response_status = %(status)s AND response_body = %(body)s))
RETURNING true;

-- name: forget_idempotency_keys
WITH gone AS (
    DELETE FROM idempotency_keys
    WHERE id IN (
        SELECT id FROM idempotency_keys
        WHERE created_at < clock_timestamp() - %s::double precision * interval '1 second' LIMIT %s)
    RETURNING 1)
SELECT count(*) FROM gone;
