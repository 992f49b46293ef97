-- Cursors that moved a moment ago, for other nodes to hear of: who has got the entries above `after` up to `upto`, or,
-- without `after`, has read up to there. `moved` is the transaction that did it: transactions become visible in any
-- order, so whoever looks again asks for those that they could not see the last time.
CREATE TABLE moves (
    moved        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    node         bigint,
    party        bigint NOT NULL,
    conversation bigint NOT NULL,
    after        bigint,
    upto         bigint NOT NULL
);
CREATE INDEX moves_by_transaction ON moves (moved);
