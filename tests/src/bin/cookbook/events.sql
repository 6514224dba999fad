INSERT INTO landing_events
    (account_id, team_id, source_module, event_name, schema_version, idempotency_key, qontak_customer_id,
     occurred_at, received_at, published_at, properties, payload, identifier_tokens, topic, partition,
     offset, logical_time, ordinal, seq)
WITH
    intHash64(number) AS dice,
    multiIf(dice % 1000 < 400, 'broadcast.sent', dice % 1000 < 700, 'broadcast.delivered',
        dice % 1000 < 880, 'broadcast.read', dice % 1000 < 930, 'broadcast.replied',
        dice % 1000 < 970, 'ad.clicked', dice % 1000 < 990, 'customer.updated', 'ad.converted') AS name,
    multiIf(startsWith(name, 'broadcast.'), 'broadcast', startsWith(name, 'ad.'), 'ads', 'cdp') AS source,
    -- Some customers have many more events than others; one event in 20 names none.
    pow((intHash64(number + 7777777) % 1000000) / 1000000, 1.5) AS place,
    if(intHash64(number + 99) % 20 = 0, '', toString(1000000 + toUInt64(place * {customers}))) AS customer,
    -- In order of arrival, over a year; one in 100 is up to ten days late.
    now64(3, 'UTC') - toIntervalMillisecond(toUInt64(({events} - number) * (365 * 86400000. / {events}))) AS arrival,
    arrival - if(intHash64(number + 5) % 100 = 0, toIntervalMillisecond(dice % 864000000),
        toIntervalMillisecond(200 + dice % 3000)) AS happened,
    'b-' || toString(intDiv(toUInt32(happened), 43200)) AS broadcast,
    multiIf(source = 'broadcast', '{"broadcast_id":"' || broadcast || '","channel":"wa"}',
        source = 'ads', '{"campaign_id":"c-' || toString(dice % 40) || '"}',
        '{"city":"Jakarta","tier":"gold"}') AS props,
    hex(sipHash128(number)) AS key
SELECT
    'acc-sql', 'team-' || toString(dice % 7), source, name, 1, key, customer, happened, arrival, arrival, props,
    '{"event_name":"' || name || '","schema_version":1,"source_module":"' || source || '","idempotency_key":"'
        || key || '","account_id":"acc-sql","qontak_customer_id":"' || customer || '","properties":' || props || '}',
    if(customer = '', ['~k1:' || hex(sipHash64(dice))], []), 'cebe.events.' || source, dice % 8,
    intDiv(number, 8), arrival, number, 0
FROM numbers_mt({from}, {count})
SETTINGS max_insert_threads = 1
