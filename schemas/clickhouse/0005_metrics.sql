CREATE TABLE IF NOT EXISTS landing_metrics
(
    account_id String COMMENT 'The tenant',
    metric LowCardinality(String) COMMENT 'Which metric',
    group_key String COMMENT 'Which group; empty for the whole account',
    old_numerator UInt64 COMMENT 'Persons with a credited numerator event, before',
    old_denominator UInt64 COMMENT 'Persons with a denominator event, before',
    old_rate Nullable(Float64) COMMENT 'old_numerator / old_denominator; null while that is 0/0',
    new_numerator UInt64 COMMENT 'Persons with a credited numerator event, now',
    new_denominator UInt64 COMMENT 'Persons with a denominator event, now',
    new_rate Nullable(Float64) COMMENT 'new_numerator / new_denominator; null while that is 0/0',
    cause LowCardinality(String) COMMENT 'Why',
    logical_time DateTime64(3, 'UTC') COMMENT 'When',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)',
    deleted UInt8 COMMENT '1 when the denominator is 0 now'
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, metric, group_key, logical_time)
COMMENT 'Changes of rates as they landed. Read the views metric_changes, metric_values and metric_values_as_of.';

CREATE TABLE IF NOT EXISTS state_metrics
(
    account_id String COMMENT 'The tenant',
    metric LowCardinality(String) COMMENT 'Which metric',
    group_key String COMMENT 'Which group; empty for the whole account',
    numerator UInt64 COMMENT 'Persons with a credited numerator event',
    denominator UInt64 COMMENT 'Persons with a denominator event',
    rate Nullable(Float64) COMMENT 'numerator / denominator',
    version DateTime64(3, 'UTC') COMMENT 'The logical time of the change that made it so',
    deleted UInt8 COMMENT '1 when the denominator is 0'
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY (account_id, metric, group_key)
COMMENT 'Rates, newest version. Read the view metric_values.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_metrics_to_state TO state_metrics
AS SELECT
    account_id, metric, group_key, new_numerator AS numerator, new_denominator AS denominator,
    new_rate AS rate, logical_time AS version, deleted
FROM landing_metrics
COMMENT 'Feeds state_metrics.';

CREATE VIEW IF NOT EXISTS metric_values
(
    account_id String COMMENT 'The tenant',
    metric LowCardinality(String) COMMENT 'Which metric, such as reply_rate',
    group_key String COMMENT 'Which group, such as a broadcast id; empty for the whole account',
    numerator UInt64 COMMENT 'Distinct persons with a credited numerator event',
    denominator UInt64 COMMENT 'Distinct persons with a denominator event; never 0',
    rate Nullable(Float64) COMMENT 'numerator / denominator',
    complete_through DateTime64(3, 'UTC') COMMENT 'The logical time that this is true for',
    is_stale Bool COMMENT 'Whether complete_through is more than 60 seconds ago'
)
AS SELECT
    account_id, metric, group_key, numerator, denominator, rate,
    (SELECT max(state_frontier.complete_through) FROM state_frontier WHERE view = 'metrics') AS complete_through,
    complete_through < now64(3, 'UTC') - INTERVAL 60 SECOND AS is_stale
FROM state_metrics FINAL
COMMENT 'Rates, as of the newest that is loaded.';

CREATE VIEW IF NOT EXISTS metric_changes
(
    account_id String COMMENT 'The tenant',
    metric LowCardinality(String) COMMENT 'Which metric',
    group_key String COMMENT 'Which group; empty for the whole account',
    old_numerator UInt64 COMMENT 'Distinct persons with a credited numerator event, before',
    old_denominator UInt64 COMMENT 'Distinct persons with a denominator event, before',
    old_rate Nullable(Float64) COMMENT 'old_numerator / old_denominator; null for 0/0',
    new_numerator UInt64 COMMENT 'Distinct persons with a credited numerator event, now',
    new_denominator UInt64 COMMENT 'Distinct persons with a denominator event, now',
    new_rate Nullable(Float64) COMMENT 'new_numerator / new_denominator; null for 0/0',
    cause LowCardinality(String) COMMENT 'Why: erase, unmerge, merge, definition, time, backfill, late_event or event; the first of these that applies',
    logical_time DateTime64(3, 'UTC') COMMENT 'When'
)
AS SELECT
    account_id, metric, group_key, old_numerator, old_denominator, old_rate,
    new_numerator, new_denominator, new_rate, cause, logical_time
FROM landing_metrics FINAL
COMMENT 'Every change of a rate, each once.';

CREATE VIEW IF NOT EXISTS metric_values_as_of
AS SELECT
    account_id, metric, group_key,
    argMax(change.new_numerator, change.logical_time) AS numerator,
    argMax(change.new_denominator, change.logical_time) AS denominator,
    argMax(tuple(change.new_rate), change.logical_time).1 AS rate
FROM landing_metrics AS change
WHERE change.logical_time <= parseDateTime64BestEffort({t:String}, 3, 'UTC')
GROUP BY account_id, metric, group_key
HAVING argMax(change.deleted, change.logical_time) = 0
COMMENT 'metric_values_as_of(t = \'2026-11-23T04:31:00.123Z\'): the view metric_values (account_id, metric, group_key, numerator, denominator, rate) as it was at logical time t. For a consistent cut, t is at most the least complete_through in frontier.';
