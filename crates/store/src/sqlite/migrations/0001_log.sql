-- The log and what belongs to it. Times are Unix times in ms.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Whoever writes or is written to: users and strangers on the broker (mqtt:<name>), as small numbers.
CREATE TABLE parties (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE users (
    party     INTEGER PRIMARY KEY REFERENCES parties (id),
    id        TEXT    NOT NULL UNIQUE,
    name      TEXT    NOT NULL,
    issuer    TEXT    NOT NULL,
    serial    INTEGER NOT NULL DEFAULT 1,
    blocked   INTEGER NOT NULL DEFAULT 0,
    created   INTEGER NOT NULL,
    last_seen INTEGER NOT NULL
) STRICT;
CREATE INDEX users_by_last_seen ON users (last_seen);

-- The head of a conversation is its newest entry: kept nowhere else, so nothing can differ from it.
CREATE TABLE conversations (
    id    INTEGER PRIMARY KEY,
    key   TEXT NOT NULL UNIQUE,
    one   INTEGER REFERENCES parties (id),
    other INTEGER REFERENCES parties (id)
) STRICT;
INSERT INTO conversations (id, key) VALUES (1, 'public');

CREATE TABLE rooms (
    conversation INTEGER PRIMARY KEY REFERENCES conversations (id),
    title        TEXT    NOT NULL,
    open         INTEGER NOT NULL,
    owner        INTEGER NOT NULL REFERENCES users (party),
    created      INTEGER NOT NULL,
    modified     INTEGER NOT NULL
) STRICT;

-- Nodes and up to which position the broker has confirmed their entries.
CREATE TABLE nodes (
    id        INTEGER PRIMARY KEY,
    name      TEXT    NOT NULL UNIQUE,
    confirmed INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE entries (
    position     INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    seq          INTEGER NOT NULL,
    time         INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    sender       INTEGER NOT NULL REFERENCES parties (id),
    id           TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    node         INTEGER REFERENCES nodes (id),
    data         TEXT    NOT NULL,
    UNIQUE (conversation, seq),
    UNIQUE (sender, id)
) STRICT;

-- Both users of a private conversation have a row from its first entry on: it is also their list.
CREATE TABLE cursors (
    party        INTEGER NOT NULL REFERENCES users (party),
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    delivered    INTEGER NOT NULL DEFAULT 0,
    read         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (party, conversation)
) STRICT, WITHOUT ROWID;
CREATE INDEX cursors_by_conversation ON cursors (conversation);

CREATE TABLE presence (
    node  INTEGER NOT NULL REFERENCES nodes (id),
    party INTEGER NOT NULL REFERENCES users (party),
    PRIMARY KEY (node, party)
) STRICT, WITHOUT ROWID;

-- previous: when the owner before the present one last renewed it.
CREATE TABLE leases (
    name     TEXT PRIMARY KEY,
    owner    TEXT    NOT NULL,
    expires  INTEGER NOT NULL,
    renewed  INTEGER NOT NULL,
    previous INTEGER
) STRICT, WITHOUT ROWID;

-- The last entry that came in by each packet id of the ingest client's present broker session.
CREATE TABLE ingested (
    packet   INTEGER PRIMARY KEY,
    session  INTEGER NOT NULL,
    position INTEGER NOT NULL REFERENCES entries (position)
) STRICT;
