-- The metrics of all processes. Parameters are named.

-- name: write
INSERT INTO process_metrics (process, part, counts) VALUES (%(process)s, %(part)s, %(counts)s::json)
ON CONFLICT (process) DO UPDATE SET counts = excluded.counts, updated_at = now();

-- name: others
-- At most %(limit)s rows: those that wrote last, and the one that holds what ended long ago.
SELECT counts, updated_at > now() - %(lives_s)s * interval '1 second'
FROM process_metrics
WHERE process <> %(process)s
ORDER BY process = %(past)s DESC, updated_at DESC
LIMIT %(limit)s;

-- name: ended
-- Processes that wrote nothing for long, and the row that holds earlier ones: locked, so that two don't fold at once.
SELECT process, counts
FROM process_metrics
WHERE process = %(past)s OR updated_at < now() - %(ended_s)s * interval '1 second'
ORDER BY process
LIMIT %(limit)s
FOR UPDATE;

-- name: forget
DELETE FROM process_metrics WHERE process = ANY (%(processes)s);
