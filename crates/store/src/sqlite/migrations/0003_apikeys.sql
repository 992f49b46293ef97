-- API keys. Of a key only its SHA-256 is kept. used: to about ten minutes.

CREATE TABLE apikeys (
    id      INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL,
    hash    BLOB    NOT NULL UNIQUE,
    party   INTEGER NOT NULL REFERENCES users (party),
    scopes  TEXT    NOT NULL,
    created INTEGER NOT NULL,
    used    INTEGER,
    revoked INTEGER
) STRICT;
CREATE UNIQUE INDEX apikeys_by_name ON apikeys (name) WHERE revoked IS NULL;
