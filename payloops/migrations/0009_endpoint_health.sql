-- How endpoints fare: kept beside the log, since it only paces deliveries. An endpoint without a row is well, and so is
-- one whose row is of an earlier version of it: another address or secret, or enabled again, begins anew.
CREATE TABLE endpoint_health (
    endpoint_id uuid PRIMARY KEY,
    endpoint_version bigint NOT NULL,
    -- failures without a success between them; those of requests that were under way when the circuit opened don't count
    consecutive_failures integer NOT NULL,
    failing_since timestamptz NOT NULL,
    -- the circuit: open until then, afterwards one delivery at a time may try; null while it is closed
    open_until timestamptz,
    -- how long it was opened for the last time: doubled when the try fails
    open_s double precision,
    -- a try is under way, and counts as failed when it has not ended by then
    probe_until timestamptz
) WITH (fillfactor = 70);

-- Of one merchant's backlog, however long, a relay takes what it has room for: these lead it from lane to lane, past the
-- rows of lanes that have enough. "C", so that all lanes of a group stand between its name and what follows in bytes.
-- Timers that are not due yet stand apart, so that they are not in the way of what is.
CREATE INDEX outbox_lane_idx ON outbox (lane COLLATE "C", due_at, seq) WHERE parked_at IS NULL AND kind <> 'wake';
CREATE INDEX outbox_wake_lane_idx ON outbox (lane COLLATE "C", due_at, seq) WHERE parked_at IS NULL AND kind = 'wake';
