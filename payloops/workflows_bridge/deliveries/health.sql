-- The circuit of an endpoint. Parameters are named; times are the database's.

-- name: failed
-- One more failure. Of requests that were under way when the circuit opened it tells nothing new. After so many in a row
-- the circuit opens; when a try fails, for twice as long. Answers how many there were, and for how long only failures.
INSERT INTO endpoint_health AS h (
    endpoint_id, endpoint_version, consecutive_failures, failing_since, open_until, open_s, probe_until)
VALUES (%(endpoint_id)s, %(version)s, 1, now(), NULL, NULL, NULL)
ON CONFLICT (endpoint_id) DO UPDATE SET
    endpoint_version = excluded.endpoint_version,
    consecutive_failures = CASE
        WHEN h.endpoint_version <> excluded.endpoint_version THEN 1
        WHEN h.open_until IS NULL OR %(probe)s THEN h.consecutive_failures + 1
        ELSE h.consecutive_failures END,
    failing_since = CASE
        WHEN h.endpoint_version <> excluded.endpoint_version THEN now()
        ELSE h.failing_since END,
    open_s = CASE
        WHEN h.endpoint_version <> excluded.endpoint_version THEN NULL
        WHEN %(probe)s AND h.open_until IS NOT NULL THEN least(h.open_s * 2, %(open_max_s)s)
        WHEN h.open_until IS NULL AND h.consecutive_failures + 1 >= %(failures_max)s THEN %(open_min_s)s
        ELSE h.open_s END,
    open_until = CASE
        WHEN h.endpoint_version <> excluded.endpoint_version THEN NULL
        WHEN %(probe)s AND h.open_until IS NOT NULL
            THEN now() + least(h.open_s * 2, %(open_max_s)s) * interval '1 second'
        WHEN h.open_until IS NULL AND h.consecutive_failures + 1 >= %(failures_max)s
            THEN now() + %(open_min_s)s * interval '1 second'
        ELSE h.open_until END,
    probe_until = CASE WHEN %(probe)s THEN NULL ELSE h.probe_until END
RETURNING consecutive_failures, extract(epoch FROM now() - failing_since)::float8;

-- name: recovered
-- A success: the endpoint is well.
DELETE FROM endpoint_health WHERE endpoint_id = %(endpoint_id)s;

-- name: claim_probe
-- After the circuit was open one delivery may try; a row for the one that may.
UPDATE endpoint_health
SET probe_until = now() + %(probe_s)s * interval '1 second'
WHERE endpoint_id = %(endpoint_id)s AND endpoint_version = %(version)s
    AND open_until <= now() AND (probe_until IS NULL OR probe_until <= now())
RETURNING endpoint_id;

-- name: release_probe
-- The try did not take place after all.
UPDATE endpoint_health SET probe_until = NULL WHERE endpoint_id = %(endpoint_id)s AND endpoint_version = %(version)s;
