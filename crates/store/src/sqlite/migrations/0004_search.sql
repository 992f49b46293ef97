-- The tokens of each message (what they are is decided by the program), by its position. The texts stand in entries and
-- marks only: to take a message out, its tokens have to be named again. The position up to which messages are in here
-- is in meta. What is deleted leaves nothing behind.
CREATE VIRTUAL TABLE search USING fts5 (tokens, content = '', columnsize = 0, tokenize = 'ascii');
INSERT INTO search (search, rank) VALUES ('secure-delete', 1);

-- Rooms that were deleted, whose entries below that seq still have to go.
CREATE TABLE purges (
    conversation INTEGER PRIMARY KEY REFERENCES conversations (id),
    below        INTEGER NOT NULL
) STRICT;
