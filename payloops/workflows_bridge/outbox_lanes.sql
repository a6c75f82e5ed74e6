-- The outbox while some lanes have enough (lanes.py). Parameters are named; times are the database's.

-- name: claim_around
-- As claim, while some lanes have enough: their rows, however many, are not looked at one by one. Candidates are those of
-- the first rows that are due, and of some lanes after those that the last claim came to, rows and timers each by an index
-- of its own: a lane is found by its name, and one step leads past a whole group that has enough.
-- Answers at least one row; each begins with how far the walks came, null when they came to the end.
WITH RECURSIVE work (lane, past, hop) AS (
    SELECT o.lane, coalesce(g.name || ':~', o.lane), 1
    FROM (
        SELECT o.lane FROM outbox o
        WHERE o.parked_at IS NULL AND o.kind <> 'wake' AND o.lane COLLATE "C" >= %(after_work)s
        ORDER BY o.lane COLLATE "C" LIMIT 1) o
    LEFT JOIN unnest(%(full_groups)s::text[]) AS g (name) ON starts_with(o.lane, g.name || ':')
    UNION ALL
    SELECT o.lane, coalesce(g.name || ':~', o.lane), w.hop + 1
    FROM work w
    CROSS JOIN LATERAL (
        SELECT o.lane FROM outbox o
        WHERE o.parked_at IS NULL AND o.kind <> 'wake' AND o.lane COLLATE "C" > w.past
        ORDER BY o.lane COLLATE "C" LIMIT 1) o
    LEFT JOIN unnest(%(full_groups)s::text[]) AS g (name) ON starts_with(o.lane, g.name || ':')
    WHERE w.hop < %(lanes)s
), wakes (lane, past, hop) AS (
    SELECT o.lane, coalesce(g.name || ':~', o.lane), 1
    FROM (
        SELECT o.lane FROM outbox o
        WHERE o.parked_at IS NULL AND o.kind = 'wake' AND o.lane COLLATE "C" >= %(after_wakes)s
        ORDER BY o.lane COLLATE "C" LIMIT 1) o
    LEFT JOIN unnest(%(full_groups)s::text[]) AS g (name) ON starts_with(o.lane, g.name || ':')
    UNION ALL
    SELECT o.lane, coalesce(g.name || ':~', o.lane), w.hop + 1
    FROM wakes w
    CROSS JOIN LATERAL (
        SELECT o.lane FROM outbox o
        WHERE o.parked_at IS NULL AND o.kind = 'wake' AND o.lane COLLATE "C" > w.past
        ORDER BY o.lane COLLATE "C" LIMIT 1) o
    LEFT JOIN unnest(%(full_groups)s::text[]) AS g (name) ON starts_with(o.lane, g.name || ':')
    WHERE w.hop < %(lanes)s
), walked (work, wakes) AS (
    SELECT (SELECT w.past || chr(1) FROM work w WHERE w.hop = %(lanes)s),
        (SELECT w.past || chr(1) FROM wakes w WHERE w.hop = %(lanes)s)
), candidate AS (
    SELECT f.seq, f.lane
    FROM (
        SELECT o.seq, o.lane FROM outbox o
        WHERE o.parked_at IS NULL AND o.due_at <= now()
        ORDER BY o.due_at, o.seq LIMIT %(window)s) f
    UNION ALL
    SELECT c.seq, w.lane
    FROM work w
    CROSS JOIN LATERAL (
        SELECT o.seq FROM outbox o
        WHERE o.parked_at IS NULL AND o.kind <> 'wake' AND o.lane COLLATE "C" = w.lane AND o.due_at <= now()
        ORDER BY o.due_at, o.seq LIMIT %(lane_window)s) c
    WHERE w.past = w.lane
    UNION ALL
    SELECT c.seq, w.lane
    FROM wakes w
    CROSS JOIN LATERAL (
        SELECT o.seq FROM outbox o
        WHERE o.parked_at IS NULL AND o.kind = 'wake' AND o.lane COLLATE "C" = w.lane AND o.due_at <= now()
        ORDER BY o.due_at, o.seq LIMIT %(lane_window)s) c
    WHERE w.past = w.lane
), free AS (
    SELECT o.seq
    FROM outbox o
    WHERE o.seq = ANY (array(
            SELECT c.seq FROM candidate c
            WHERE c.lane <> ALL (%(full_lanes)s::text[])
              AND NOT EXISTS (
                  SELECT FROM unnest(%(full_groups)s::text[]) AS g (name) WHERE starts_with(c.lane, g.name || ':'))))
      AND o.parked_at IS NULL
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
SELECT k.work, k.wakes,
    t.seq, t.id, t.key, t.lane, t.kind, t.payload, t.correlation_id, t.traceparent, t.claims, t.attempts,
    extract(epoch FROM clock_timestamp() - t.created_at)::float8,
    extract(epoch FROM clock_timestamp())::float8,
    r.type, r.state, r.version, r.status
FROM walked k
LEFT JOIN taken t ON true
LEFT JOIN workflow_runs r ON r.workflow_id = t.key
ORDER BY t.seq;
