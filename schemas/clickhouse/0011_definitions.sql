CREATE TABLE IF NOT EXISTS landing_definitions
(
    kind LowCardinality(String) COMMENT 'segment or metric',
    account_id String COMMENT 'The tenant; empty for a metric that holds for every account',
    id String COMMENT 'The id of the segment or metric',
    version UInt32 COMMENT 'Given by its author',
    title String COMMENT 'Given by its author; empty if none',
    definition String COMMENT 'The definition as it was given: one JSON object' CODEC(ZSTD(3)),
    changed_by String COMMENT 'Who changed it',
    logical_time DateTime64(3, 'UTC') COMMENT 'When',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)',
    deleted UInt8 COMMENT '1 when it was removed'
)
ENGINE = ReplacingMergeTree
ORDER BY (kind, account_id, id, logical_time)
COMMENT 'Changes of definitions as they landed. Read the views segment_definitions and metric_definitions.';

CREATE VIEW IF NOT EXISTS segment_definitions
(
    account_id String COMMENT 'The tenant',
    id String COMMENT 'The segment_id',
    version UInt32 COMMENT 'Given by its author',
    title String COMMENT 'Given by its author; empty if none',
    definition String COMMENT 'The definition as it was given: one JSON object',
    valid_from DateTime64(3, 'UTC') COMMENT 'The logical time at which it came into force',
    changed_by String COMMENT 'Who put it in force',
    valid_to Nullable(DateTime64(3, 'UTC')) COMMENT 'The logical time at which the next version replaced it, or it was removed; null while it is in force'
)
AS SELECT account_id, id, version, title, definition, logical_time AS valid_from, changed_by, valid_to
FROM
(
    SELECT
        *,
        leadInFrame(toNullable(logical_time)) OVER (
            PARTITION BY kind, account_id, id ORDER BY logical_time
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS valid_to
    FROM landing_definitions FINAL
    WHERE kind = 'segment'
)
WHERE deleted = 0
COMMENT 'Every definition of a segment that was ever in force; those with valid_to IS NULL are now.';

CREATE VIEW IF NOT EXISTS metric_definitions
(
    account_id String COMMENT 'The tenant; empty for a metric that holds for every account',
    id String COMMENT 'The metric, as in metric_values.metric',
    version UInt32 COMMENT 'Given by its author',
    title String COMMENT 'Given by its author; empty if none',
    definition String COMMENT 'The definition as it was given: one JSON object',
    valid_from DateTime64(3, 'UTC') COMMENT 'The logical time at which it came into force',
    changed_by String COMMENT 'Who put it in force',
    valid_to Nullable(DateTime64(3, 'UTC')) COMMENT 'The logical time at which the next version replaced it, or it was removed; null while it is in force'
)
AS SELECT account_id, id, version, title, definition, logical_time AS valid_from, changed_by, valid_to
FROM
(
    SELECT
        *,
        leadInFrame(toNullable(logical_time)) OVER (
            PARTITION BY kind, account_id, id ORDER BY logical_time
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS valid_to
    FROM landing_definitions FINAL
    WHERE kind = 'metric'
)
WHERE deleted = 0
COMMENT 'Every definition of a metric that was ever in force; those with valid_to IS NULL are now.';
