-- What the API makes beside services: connections, configurations, connectors, domains.

CREATE TABLE resources (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    record TEXT NOT NULL,
    checksum TEXT NOT NULL
);
