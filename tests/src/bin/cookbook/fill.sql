INSERT INTO landing_identities
SELECT 'acc-sql', toString(1000000 + number), '', toString(1000000 + number), 'event',
    now64(3, 'UTC') - INTERVAL 366 DAY + toIntervalMillisecond(number), number, 0
FROM numbers({customers});

INSERT INTO landing_identities
SELECT 'acc-sql', toString(1000000 + number), toString(1000000 + number),
    toString(1000000 + number - number % 25), 'merge', now64(3, 'UTC') - toIntervalSecond(number * 30), number, 0
FROM numbers({customers}) WHERE number % 25 = 1 OR number % 100 = 2;

INSERT INTO landing_segments
SELECT 'acc-sql', if(s = 1, 'silent', 's-' || toString(s)), toString(1000000 + number), 'entered',
    if(number % 2 = 0, 'event', 'time'), 1, now64(3, 'UTC') - toIntervalSecond(number * 20), number, 0
FROM numbers({customers})
ARRAY JOIN range(1, 21) AS s
WHERE NOT (number % 25 = 1 OR number % 100 = 2)
    AND sipHash64(number, s) % 1000 < [500,300,200,100,100,80,50,50,50,30,30,20,20,20,10,10,10,5,5,5][s];

INSERT INTO landing_metrics
SELECT 'acc-sql', 'reply_rate', 'b-' || toString(number % 1000), intDiv(number, 1000), 5000, intDiv(number, 1000) / 5000,
    intDiv(number, 1000) + 1, 5000, (intDiv(number, 1000) + 1) / 5000, if(number % 50 = 0, 'merge', 'event'),
    now64(3, 'UTC') - toIntervalSecond(400000 - number), number, 0
FROM numbers(400000);

INSERT INTO landing_rejected (topic, partition, offset, account_id, source_module, event_name, reason, pointer,
    message, payload, received_at, logical_time, ordinal, seq)
SELECT 'cebe.events.ads', number % 8, number, 'acc-sql', 'ads', 'ad.clicked', 'schema_violation', '/properties/campaign_id',
    'is required', '{}', now64(3, 'UTC') - toIntervalSecond(number * 60), now64(3, 'UTC'), number, 0
FROM numbers(100000);
