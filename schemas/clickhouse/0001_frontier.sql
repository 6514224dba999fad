-- Every statement of a migration can be repeated: one that was cut short is run again as a whole.

CREATE TABLE IF NOT EXISTS state_frontier
(
    view LowCardinality(String) COMMENT 'The view, by the name of its feed: topic cebe.out.<view>',
    complete_through DateTime64(3, 'UTC') COMMENT 'Every change up to this logical time, and no torn one, has been loaded',
    committed_at DateTime64(3, 'UTC') COMMENT 'When the loader wrote this row, after the rows that it speaks of'
)
ENGINE = ReplacingMergeTree(complete_through)
ORDER BY view
COMMENT 'How far each feed has been loaded. Read the view frontier.';

CREATE VIEW IF NOT EXISTS frontier
(
    view LowCardinality(String) COMMENT 'The view, by the name of its feed: topic cebe.out.<view>',
    complete_through DateTime64(3, 'UTC') COMMENT 'Every change up to this logical time has been loaded',
    committed_at DateTime64(3, 'UTC') COMMENT 'When the loader wrote this, after the rows that it speaks of'
)
AS SELECT view, complete_through, committed_at FROM state_frontier FINAL
COMMENT 'How far each feed has been loaded; one row a feed. The least complete_through is a time T at which all *_as_of(t = T) views are one consistent cut.';
