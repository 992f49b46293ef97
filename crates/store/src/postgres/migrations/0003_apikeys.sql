-- API keys. Of a key only its SHA-256 is kept. used: to about ten minutes.

CREATE TABLE apikeys (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name    text COLLATE "C" NOT NULL,
    hash    bytea  NOT NULL UNIQUE,
    party   bigint NOT NULL REFERENCES users (party),
    scopes  text   NOT NULL,
    created bigint NOT NULL,
    used    bigint,
    revoked bigint
);
CREATE UNIQUE INDEX apikeys_by_name ON apikeys (name) WHERE revoked IS NULL;
