-- Rooms and who belongs to them; what later entries have made of a message.

-- No entry up to there is shown: a room that was deleted and is made again begins above.
ALTER TABLE conversations ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;

CREATE TABLE members (
    conversation INTEGER NOT NULL REFERENCES rooms (conversation),
    party        INTEGER NOT NULL REFERENCES users (party),
    PRIMARY KEY (conversation, party)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_party ON members (party);

-- The last entry that came in by each packet id. It may be gone with its room.
CREATE TABLE new_ingested (
    packet   INTEGER PRIMARY KEY,
    session  INTEGER NOT NULL,
    position INTEGER NOT NULL
) STRICT;
INSERT INTO new_ingested SELECT packet, session, position FROM ingested;
DROP TABLE ingested;
ALTER TABLE new_ingested RENAME TO ingested;

-- Ids come first in their index: a message is also looked for by its id alone.
CREATE TABLE new_entries (
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
    UNIQUE (id, sender)
) STRICT;
INSERT INTO new_entries
    SELECT position, conversation, seq, time, kind, sender, id, name, node, data FROM entries ORDER BY position;
DROP TABLE entries;
ALTER TABLE new_entries RENAME TO entries;

-- Of messages that were changed, by their position. data: what it is now, where that is not what the entry says.
CREATE TABLE marks (
    position INTEGER PRIMARY KEY,
    data     TEXT,
    edited   INTEGER,
    deleted  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The edits of each message, by positions: their texts go with it.
CREATE TABLE edits (
    target   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (target, position)
) STRICT, WITHOUT ROWID;

-- A message that has any has its marks.
CREATE TABLE reactions (
    target INTEGER NOT NULL,
    emoji  TEXT    NOT NULL,
    party  INTEGER NOT NULL REFERENCES parties (id),
    PRIMARY KEY (target, emoji, party)
) STRICT, WITHOUT ROWID;
