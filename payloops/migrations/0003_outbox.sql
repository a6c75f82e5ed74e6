-- What must be done outside the database, written with the event that causes it. A done row is deleted.
CREATE TABLE outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- made from the event: the same effect has the same id for ever
    id uuid NOT NULL UNIQUE,
    -- rows of one key are dispatched one after the other, in order of seq; different keys never wait for each other
    key text NOT NULL,
    -- where the effect goes (a merchant's account at a processor, a receiver): a relay gives no lane all its slots
    lane text NOT NULL DEFAULT '',
    -- start, signal, or wake (the embedded engine's timers, which hold up no other row before they are due)
    kind text NOT NULL,
    payload json NOT NULL,
    correlation_id text NOT NULL,
    traceparent text,
    -- when a relay may take it; while one has it, the end of its lease
    due_at timestamptz NOT NULL DEFAULT now(),
    -- how often a relay has taken it: from the second time on it may have been carried out before
    claims integer NOT NULL DEFAULT 0,
    -- failures that count towards parking
    attempts integer NOT NULL DEFAULT 0,
    -- fencing: another number with each claim; a relay that lost its lease can't finish the row
    lease_token bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    parked_at timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE INDEX outbox_due_idx ON outbox (due_at, seq) WHERE parked_at IS NULL;
CREATE INDEX outbox_key_idx ON outbox (key, seq) WHERE parked_at IS NULL;
CREATE INDEX outbox_parked_idx ON outbox (parked_at DESC, seq DESC) WHERE parked_at IS NOT NULL;

CREATE FUNCTION apply_outbox(p_rows json, p_refused integer[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_count bigint;
BEGIN
    INSERT INTO outbox (id, key, lane, kind, payload, correlation_id, traceparent, due_at)
    SELECT r.id, r.key, coalesce(r.lane, ''), r.kind, r.payload, r.correlation_id, r.traceparent,
        coalesce(r.due_at, now())
    FROM json_to_recordset(p_rows) AS r (
        c integer, id uuid, key text, lane text, kind text, payload json, correlation_id text, traceparent text,
        due_at timestamptz)
    WHERE r.c <> ALL (p_refused)
    ON CONFLICT (id) DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;

-- The embedded engine's workflows: a state between two steps. version guards against two relays at once.
CREATE TABLE workflow_runs (
    workflow_id text PRIMARY KEY,
    type text NOT NULL,
    state json NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    -- running, finished
    status text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
-- Finished runs are kept for a while, so that a late signal finds that there is nobody to take it.
CREATE INDEX workflow_runs_finished_idx ON workflow_runs (updated_at) WHERE status = 'finished';
