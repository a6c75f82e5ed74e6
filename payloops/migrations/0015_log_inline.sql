-- A processor's event has 2 to 8 KB, sealed, which does not compress. Kept in the row itself, where PostgreSQL would by default
-- move what is over 2 KB into a table beside it: measured, a third less time and a tenth less WAL for each.
ALTER TABLE stored_events SET (toast_tuple_target = 8160);
