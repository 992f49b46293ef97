-- The log and what belongs to it. Times are Unix times in ms. Texts that are compared or ordered are so by their bytes.

CREATE TABLE meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- Whoever writes or is written to: users and strangers on the broker (mqtt:<name>), as small numbers.
CREATE TABLE parties (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE users (
    party     bigint PRIMARY KEY REFERENCES parties (id),
    id        text COLLATE "C" NOT NULL UNIQUE,
    name      text    NOT NULL,
    issuer    text    NOT NULL,
    serial    bigint  NOT NULL DEFAULT 1,
    blocked   boolean NOT NULL DEFAULT false,
    created   bigint  NOT NULL,
    last_seen bigint  NOT NULL
);
CREATE INDEX users_by_last_seen ON users (last_seen);

-- The head stands here and not only in the entries: its row is what those who append at the same moment wait for.
-- head, time, position: of the newest entry.
CREATE TABLE conversations (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key      text COLLATE "C" NOT NULL UNIQUE,
    one      bigint REFERENCES parties (id),
    other    bigint REFERENCES parties (id),
    head     bigint NOT NULL DEFAULT 0,
    time     bigint NOT NULL DEFAULT 0,
    position bigint NOT NULL DEFAULT 0
);
CREATE INDEX conversations_by_position ON conversations (position);
INSERT INTO conversations (key) VALUES ('public');

CREATE TABLE rooms (
    conversation bigint PRIMARY KEY REFERENCES conversations (id),
    title        text    NOT NULL,
    open         boolean NOT NULL,
    owner        bigint  NOT NULL REFERENCES users (party),
    created      bigint  NOT NULL,
    modified     bigint  NOT NULL
);

-- Nodes and up to which position the broker has confirmed their entries.
CREATE TABLE nodes (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text   NOT NULL UNIQUE,
    confirmed bigint NOT NULL DEFAULT 0
);

-- Rising within a conversation and within a node; across nodes, a higher one may be committed first.
CREATE SEQUENCE positions;

-- What the numbers refer to is never deleted, and was looked up by whoever inserts: foreign keys would only cost time.
CREATE TABLE entries (
    position     bigint PRIMARY KEY,
    conversation bigint NOT NULL,
    seq          bigint NOT NULL,
    time         bigint NOT NULL,
    kind         text   NOT NULL,
    sender       bigint NOT NULL,
    id           text COLLATE "C" NOT NULL,
    name         text   NOT NULL,
    node         bigint,
    data         text   NOT NULL,
    UNIQUE (conversation, seq),
    UNIQUE (sender, id)
);

-- Both users of a private conversation have a row from its first entry on: it is also their list.
CREATE TABLE cursors (
    party        bigint NOT NULL REFERENCES users (party),
    conversation bigint NOT NULL REFERENCES conversations (id),
    delivered    bigint NOT NULL DEFAULT 0,
    read         bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (party, conversation)
) WITH (fillfactor = 70);
CREATE INDEX cursors_by_conversation ON cursors (conversation);

CREATE TABLE presence (
    node  bigint NOT NULL REFERENCES nodes (id),
    party bigint NOT NULL REFERENCES users (party),
    PRIMARY KEY (node, party)
);

-- previous: when the owner before the present one last renewed it.
CREATE TABLE leases (
    name     text PRIMARY KEY,
    owner    text   NOT NULL,
    expires  bigint NOT NULL,
    renewed  bigint NOT NULL,
    previous bigint
);

-- The last entry that came in by each packet id of the ingest client's present broker session.
CREATE TABLE ingested (
    packet   integer PRIMARY KEY,
    session  bigint NOT NULL,
    position bigint NOT NULL
);
