-- The outbox as relays use it. Parameters are named; times are the database's.

-- name: claim
-- The rows that are due and before which no row of the same key is due or in hand; at most one a key. While a row is in hand due_at is the end of its lease, so that the index leads only to rows that can be had.
-- A wake holds up others from when it is due; also while it waits to be tried again, for it may have done a part.
WITH free AS (
    SELECT o.seq
    FROM outbox o
    WHERE o.parked_at IS NULL
      AND o.due_at <= now()
      AND NOT EXISTS (
          SELECT FROM outbox e
          WHERE e.key = o.key AND e.parked_at IS NULL AND e.seq < o.seq
            AND (e.kind <> 'wake' OR e.claims > 0 OR e.due_at <= now()))
      AND NOT (o.kind = 'wake' AND EXISTS (
          SELECT FROM outbox e
          WHERE e.key = o.key AND e.parked_at IS NULL AND e.seq > o.seq AND e.lease_until > now()))
    ORDER BY o.due_at, o.seq
    LIMIT %(limit)s
    FOR UPDATE OF o SKIP LOCKED
), taken AS (
    UPDATE outbox o
    SET claims = o.claims + 1,
        lease_token = %(token)s,
        lease_until = now() + %(lease_s)s * interval '1 second',
        due_at = now() + %(lease_s)s * interval '1 second'
    FROM free
    WHERE o.seq = free.seq
    RETURNING o.seq, o.id, o.key, o.lane, o.kind, o.payload, o.correlation_id, o.traceparent, o.claims, o.attempts, o.created_at
)
SELECT t.seq, t.id, t.key, t.lane, t.kind, t.payload, t.correlation_id, t.traceparent, t.claims, t.attempts,
    extract(epoch FROM clock_timestamp() - t.created_at)::float8,
    extract(epoch FROM clock_timestamp())::float8,
    r.type, r.state, r.version, r.status
FROM taken t
LEFT JOIN workflow_runs r ON r.workflow_id = t.key
ORDER BY t.seq;

-- name: extend
-- Heartbeat: the leases that are still the caller's. One that is missing from the answer is lost.
UPDATE outbox o
SET lease_until = now() + %(lease_s)s * interval '1 second', due_at = now() + %(lease_s)s * interval '1 second'
FROM unnest(%(seqs)s::bigint[], %(tokens)s::bigint[]) AS held (seq, token)
WHERE o.seq = held.seq AND o.lease_token = held.token AND o.parked_at IS NULL
RETURNING o.seq;

-- name: settle
-- Done rows go; a workflow's new state and its next wake come, all in one. Fenced by the lease's token, and by the version
-- of the run. Answers a row per item that was still the caller's: whether it is done (else the run has moved on), and
-- whether more of its key is due.
WITH item AS (
    SELECT *
    FROM json_to_recordset(%(items)s::json) AS i (
        seq bigint, token bigint, key text, type text, state json, expected bigint, status text, wake_id uuid,
        wake_at float8, version bigint)
), held AS MATERIALIZED (
    SELECT o.seq, o.key, o.lane, o.correlation_id, o.traceparent
    FROM outbox o
    JOIN item i ON i.seq = o.seq AND i.token = o.lease_token
    FOR UPDATE OF o
), created AS (
    INSERT INTO workflow_runs (workflow_id, type, state, version, status)
    SELECT i.key, i.type, i.state, 1, i.status
    FROM item i JOIN held h USING (seq)
    WHERE i.expected = 0
    ON CONFLICT (workflow_id) DO NOTHING
    RETURNING workflow_id
), moved AS (
    UPDATE workflow_runs r
    SET state = i.state, version = r.version + 1, status = i.status, updated_at = now()
    FROM item i JOIN held h USING (seq)
    WHERE i.expected > 0 AND r.workflow_id = i.key AND r.version = i.expected
    RETURNING r.workflow_id
), done AS (
    SELECT i.seq
    FROM item i JOIN held h USING (seq)
    WHERE i.type IS NULL
       OR i.key IN (SELECT workflow_id FROM created)
       OR i.key IN (SELECT workflow_id FROM moved)
), gone AS (
    DELETE FROM outbox o USING done d WHERE o.seq = d.seq
), outdated AS (
    DELETE FROM outbox o
    USING done d JOIN item i USING (seq)
    WHERE i.expected > 0 AND o.key = i.key AND o.kind = 'wake' AND o.seq <> i.seq AND o.parked_at IS NULL
), wake AS (
    INSERT INTO outbox (id, key, lane, kind, payload, correlation_id, traceparent, due_at)
    SELECT i.wake_id, h.key, h.lane, 'wake', json_build_object('version', i.version), h.correlation_id, h.traceparent,
        to_timestamp(i.wake_at)
    FROM item i JOIN held h USING (seq) JOIN done d USING (seq)
    WHERE i.wake_at IS NOT NULL
    ON CONFLICT (id) DO NOTHING
)
SELECT h.seq, d.seq IS NOT NULL, EXISTS (
    SELECT FROM outbox o WHERE o.key = h.key AND o.seq <> h.seq AND o.parked_at IS NULL AND o.due_at <= now())
FROM held h LEFT JOIN done d USING (seq);

-- name: put_back
-- Not done: to be taken again later, with or without counting as a failure, or parked for a person to look at.
UPDATE outbox o
SET lease_until = NULL,
    due_at = now() + i.delay_s * interval '1 second',
    attempts = o.attempts + i.failed::integer,
    last_error = coalesce(i.error, o.last_error),
    parked_at = CASE WHEN i.park THEN now() END
FROM json_to_recordset(%(items)s::json) AS i (
    seq bigint, token bigint, delay_s float8, failed boolean, error text, park boolean)
WHERE o.seq = i.seq AND o.lease_token = i.token
RETURNING o.seq;

-- name: backlog
-- How much is due, how long the row that waits longest has been due, and how much is parked. Counts stop at %(limit)s.
SELECT
    (SELECT count(*) FROM (
        SELECT FROM outbox WHERE parked_at IS NULL AND due_at <= now() LIMIT %(limit)s) AS due),
    coalesce((SELECT extract(epoch FROM now() - due_at)::float8 FROM outbox
        WHERE parked_at IS NULL AND due_at <= now() ORDER BY due_at, seq LIMIT 1), 0),
    (SELECT count(*) FROM (SELECT FROM outbox WHERE parked_at IS NOT NULL LIMIT %(limit)s) AS parked);

-- name: list_parked
SELECT id, key, kind, payload ->> 'merchantId', payload ->> 'orderId', correlation_id, attempts, last_error, created_at,
    parked_at
FROM outbox
WHERE parked_at IS NOT NULL
ORDER BY parked_at DESC, seq DESC
LIMIT %(limit)s;

-- name: unpark
-- Due again, as if it had never failed; the relays are told.
WITH again AS (
    UPDATE outbox SET parked_at = NULL, lease_until = NULL, attempts = 0, due_at = now()
    WHERE id = %(id)s AND parked_at IS NOT NULL
    RETURNING seq
)
SELECT pg_notify('payloops', h.position::text || ' outbox') FROM log_head h, again;

-- name: prune_runs
-- Runs that finished long ago; their ids can't be started again, for the outbox row that would is gone.
DELETE FROM workflow_runs
WHERE workflow_id IN (
    SELECT workflow_id FROM workflow_runs
    WHERE status = 'finished' AND updated_at < now() - %(keep_s)s * interval '1 second'
    ORDER BY updated_at
    LIMIT %(limit)s);
