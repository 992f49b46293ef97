-- Rooms that were deleted, and below which seq what they held is still to be removed.
CREATE TABLE purges (
    conversation bigint PRIMARY KEY,
    below        bigint NOT NULL
);
