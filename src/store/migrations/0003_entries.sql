-- What rooms above keep by kind and name, in a form of their own: users, keys, policies. Read whole at start.
CREATE TABLE entries (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    record TEXT NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
