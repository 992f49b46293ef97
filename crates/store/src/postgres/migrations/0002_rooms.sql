-- Rooms and who belongs to them; what later entries have made of a message.

-- No entry up to there is shown: a room that was deleted and is made again begins above.
ALTER TABLE conversations ADD COLUMN floor bigint NOT NULL DEFAULT 0;

CREATE TABLE members (
    conversation bigint NOT NULL REFERENCES rooms (conversation),
    party        bigint NOT NULL REFERENCES users (party),
    PRIMARY KEY (conversation, party)
);
CREATE INDEX members_by_party ON members (party);

-- Ids come first in their index: a message is also looked for by its id alone.
ALTER TABLE entries DROP CONSTRAINT entries_sender_id_key, ADD UNIQUE (id, sender);

-- Of messages that were changed, by their position. data: what it is now, where that is not what the entry says.
CREATE TABLE marks (
    position bigint PRIMARY KEY,
    data     text,
    edited   bigint,
    deleted  boolean NOT NULL DEFAULT false
);

-- The edits of each message, by positions: their texts go with it.
CREATE TABLE edits (
    target   bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (target, position)
);

-- A message that has any has its marks.
CREATE TABLE reactions (
    target bigint NOT NULL,
    emoji  text COLLATE "C" NOT NULL,
    party  bigint NOT NULL,
    PRIMARY KEY (target, emoji, party)
);
