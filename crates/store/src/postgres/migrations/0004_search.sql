-- What is found by its text: the tokens of each message (what they are is decided by the program), by its position.
CREATE TABLE search (
    position     bigint   PRIMARY KEY,
    conversation bigint   NOT NULL,
    tokens       tsvector NOT NULL
);
-- What is new is looked through one by one until there is so much of it (KiB).
CREATE INDEX search_by_tokens ON search USING gin (tokens) WITH (gin_pending_list_limit = 512);
CREATE INDEX search_by_conversation ON search (conversation, position);

-- Up to which seq the entries of each conversation are in there, and who has brought it there: a new name each time.
CREATE TABLE searched (
    conversation bigint PRIMARY KEY,
    seq          bigint NOT NULL,
    turn         text   NOT NULL
);
