-- What must survive a restart. Records are JSON text with a checksum, which
-- tells a damaged one from one that another version wrote; columns beside them are what is asked for. Plain
-- SQL that PostgreSQL takes as well. References are checked at commit: the order within one write does not matter.

CREATE TABLE services (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    record TEXT NOT NULL,
    checksum TEXT NOT NULL
);

CREATE TABLE revisions (
    service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    record TEXT NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (service_id, number)
);

CREATE TABLE operations (
    id TEXT NOT NULL PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    final BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    record TEXT NOT NULL,
    checksum TEXT NOT NULL
);
CREATE INDEX operations_newest ON operations (service_id, created_at, id);

CREATE TABLE instances (
    id TEXT NOT NULL PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    record TEXT NOT NULL,
    checksum TEXT NOT NULL
);
CREATE INDEX instances_of_service ON instances (service_id);

-- Events outlive their service: no reference.
CREATE TABLE events (
    number BIGINT NOT NULL PRIMARY KEY,
    service_id TEXT,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    record TEXT NOT NULL,
    checksum TEXT NOT NULL
);
CREATE INDEX events_of_service ON events (service_id, number);

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL,
    checksum TEXT NOT NULL
);

-- Numbers that never go back, whatever is deleted.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('events', 0);
