CREATE TABLE IF NOT EXISTS landing_erasures
(
    account_id String COMMENT 'The tenant',
    qontak_customer_id String COMMENT 'The customer; empty for an identifier',
    identifier_token String COMMENT 'The identifier that an erased customer had named, and no remaining one by then; empty for a customer',
    erased_until DateTime64(3, 'UTC') COMMENT 'What happened by then is erased',
    logical_time DateTime64(3, 'UTC') COMMENT 'When',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)',
    deleted UInt8 COMMENT '1 when a remaining customer turns out to have named the identifier by then'
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, qontak_customer_id, identifier_token, erased_until, logical_time)
COMMENT 'Erasures as they landed. Events that they reach keep a row without payload, properties and identifier_tokens. Read the view erasures.';

CREATE VIEW IF NOT EXISTS erasures
(
    account_id String COMMENT 'The tenant',
    qontak_customer_id String COMMENT 'The customer; empty for an identifier',
    identifier_token String COMMENT 'The identifier that an erased customer had named, and no remaining one by then: events that name it and no customer are erased along; empty for a customer',
    erased_until DateTime64(3, 'UTC') COMMENT 'What happened by then is erased',
    logical_time DateTime64(3, 'UTC') COMMENT 'Since when'
)
AS SELECT account_id, qontak_customer_id, identifier_token, erased_until, logical_time
FROM
(
    SELECT *
    FROM landing_erasures FINAL
    ORDER BY logical_time DESC
    LIMIT 1 BY account_id, qontak_customer_id, identifier_token, erased_until
)
WHERE deleted = 0
COMMENT 'Who is erased until when.';
