-- How often somebody was locked out: sessions of before end, also when they were let in again before any node saw it.
ALTER TABLE users ADD COLUMN blocks INTEGER NOT NULL DEFAULT 0;
