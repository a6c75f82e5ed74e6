-- What each process counted, so that one answer can tell the whole service's. Not part of the log, and never rebuilt.
CREATE TABLE process_metrics (
    process uuid PRIMARY KEY,
    part text NOT NULL,
    counts json NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
