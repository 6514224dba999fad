-- What the engine tells itself of an event and the other columns do not say, so that it can be rebuilt from
-- this table once Kafka no longer holds the record. Rows that are older than these columns have '' in both.
ALTER TABLE landing_events ADD COLUMN IF NOT EXISTS
    facts String
    COMMENT 'For rebuilding the engine: identifiers of the event by their numbers in lasting_facts, and the group and segment that it names, as JSON without personal data; emptied with the payload'
    CODEC(ZSTD(3)) AFTER identifier_tokens;

ALTER TABLE landing_events ADD COLUMN IF NOT EXISTS
    lasting_facts String
    COMMENT 'For rebuilding the engine: what an erasure leaves (a key that is not the stored one, tokens, the other customer of a link), as JSON without personal data; empty in rows from before this column'
    CODEC(ZSTD(3)) AFTER facts;
