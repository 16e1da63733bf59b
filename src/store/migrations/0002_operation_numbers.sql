-- The order of a service's operations no longer hangs on the clock, which may be set back.
ALTER TABLE operations ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
DROP INDEX operations_newest;
CREATE INDEX operations_newest ON operations (service_id, number, created_at, id);
