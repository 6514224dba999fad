//! The API over a real ClickHouse: the one that `CEBE_CLICKHOUSE_URL` names, else one of its own.

use std::collections::BTreeMap;
use std::env;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use cebe_connectors::migrate::migrate;
use cebe_query::feed::{Ended, FeedRow, Follow, Following, Tick};
use cebe_query::health::Health;
use cebe_query::{AppState, app};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::View;
use clickhouse::Client;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let (server, guard) = server(folder.path())?;
    let database = format!("test_api_{}", std::process::id());
    runtime.block_on(fill(&server, &database))?;
    let clickhouse = server.clone().with_database(&database);
    let context = Arc::new((runtime, clickhouse));
    macro_rules! trials {
        ($($case:ident),*) => { vec![$({
            let context = context.clone();
            Trial::test(stringify!($case), move || {
                let result = context.0.block_on($case(context.1.clone()));
                result.map_err(|error: anyhow::Error| Failed::from(format!("{error:#}")))
            })
        }),*] };
    }
    let conclusion = libtest_mimic::run(
        &arguments,
        trials![
            any_member_finds_the_person,
            a_person_is_shown_as_of_a_time,
            a_copy_says_what_the_tables_and_the_feeds_say,
            pages_are_of_one_time,
            pages_of_a_segment_that_most_have_left,
            values_come_by_group_and_day,
            versions_say_who_and_when,
            accounts_are_apart,
            hostile_ids_are_only_ids,
            wrong_requests_say_what_is_wrong,
            absent_clickhouse_is_503,
            readiness_lists_its_parts
        ],
    );
    let drop = format!("DROP DATABASE {database}");
    context.0.block_on(server.query_raw(&drop).execute())?;
    std::mem::drop(guard);
    conclusion.exit()
}

fn server(folder: &std::path::Path) -> anyhow::Result<(Client, Option<cebe_dev::Guard>)> {
    if let Ok(url) = env::var("CEBE_CLICKHOUSE_URL") {
        let client = Client::default().with_url(url);
        return Ok(
            match (env::var("CEBE_CLICKHOUSE_USER"), env::var("CEBE_CLICKHOUSE_PASSWORD")) {
                (Ok(user), Ok(password)) => (client.with_user(user).with_password(password), None),
                _ => (client, None),
            },
        );
    }
    let guard = cebe_dev::Guard::up(cebe_dev::Options::new(folder))?;
    let client = Client::default()
        .with_url(&guard.clickhouse_url)
        .with_user(&guard.clickhouse_user)
        .with_password(&guard.clickhouse_password);
    Ok((client, Some(guard)))
}

/// In account a: 9 and 10 are one person, known by 10 before; 11 is erased. In account b: another 9.
async fn fill(server: &Client, database: &str) -> anyhow::Result<()> {
    migrate(server, database).await?;
    let client = server.clone().with_database(database).with_setting("async_insert", "0");
    for statement in [
        "INSERT INTO landing_identities VALUES
            ('a', '10', '', '10', 'event', '2026-01-01 00:00:00.001', 0, 0),
            ('a', '10', '10', '9', 'merge', '2026-01-01 00:00:00.002', 0, 0),
            ('a', '9', '', '9', 'event', '2026-01-01 00:00:00.002', 1, 0),
            ('a', '11', '', '11', 'event', '2026-01-01 00:00:00.002', 2, 0),
            ('a', '11', '11', '', 'erase', '2026-01-01 00:00:00.003', 0, 1),
            ('b', '9', '', '9', 'event', '2026-01-01 00:00:00.002', 3, 0)",
        "INSERT INTO landing_segments VALUES
            ('a', 'vip', '10', 'entered', 'event', 1, '2026-01-01 00:00:00.001', 0, 0),
            ('a', 'vip', '10', 'exited', 'merge', 1, '2026-01-01 00:00:00.002', 0, 1),
            ('a', 'vip', '9', 'entered', 'merge', 2, '2026-01-01 00:00:00.002', 1, 0),
            ('b', 'cold', '9', 'entered', 'event', 1, '2026-01-01 00:00:00.002', 2, 0)",
        "INSERT INTO landing_segments
            SELECT 'a', 'many', leftPad(toString(number), 3, '0'), 'entered', 'event', 1,
                '2026-01-01 00:00:00.002', number, 0 FROM numbers(7)",
        "INSERT INTO landing_customers VALUES
            ('a', '10', ['10'], '{\"city\":\"Depok\"}', ['t'], [], '{}', [], 'event', '2026-01-01 00:00:00.001', 0, 0),
            ('a', '10', [], '{}', [], ['10'], '{\"city\":\"Depok\"}', ['t'], 'merge', '2026-01-01 00:00:00.002', 0, 1),
            ('a', '9', ['9', '10'], '{\"city\":\"Bogor\"}', ['t'], [], '{}', [], 'event', '2026-01-01 00:00:00.002', 1, 0)",
        "INSERT INTO landing_seen VALUES
            ('a', '9', '2025-01-01', '2025-01-02', NULL, NULL, 'event', '2026-01-01 00:00:00.002', 0, 0)",
        "INSERT INTO landing_metrics VALUES
            ('a', 'reply_rate', 'b-1', 0, 0, NULL, 1, 2, 0.5, 'event', '2026-01-01 00:00:00.001', 0, 0),
            ('a', 'reply_rate', 'b-1', 1, 2, 0.5, 1, 4, 0.25, 'event', '2026-01-01 00:00:00.003', 0, 0),
            ('a', 'reply_rate', 'b-2', 0, 0, NULL, 0, 1, 0, 'event', '2026-01-01 00:00:00.002', 0, 0),
            ('a', 'reply_rate', 'b-2', 0, 1, 0, 0, 0, NULL, 'erase', '2026-01-01 00:00:00.003', 1, 1),
            ('a', 'reply_rate_daily', '2026-01-01', 0, 0, NULL, 1, 1, 1, 'event', '2026-01-01 00:00:00.002', 0, 0),
            ('a', 'all', '', 0, 0, NULL, 1, 3, 0.3, 'event', '2026-01-01 00:00:00.002', 0, 0)",
        "INSERT INTO landing_definitions VALUES
            ('segment', 'a', 'vip', 1, 'Vip', '{\"version\":1}', 'me', '2026-01-01 00:00:00.001', 0, 0),
            ('segment', 'a', 'vip', 2, 'Vips', '{\"version\":2}', 'you', '2026-01-01 00:00:00.002', 0, 0),
            ('metric', '', 'reply_rate', 1, '', '{}', 'cebe', '2026-01-01 00:00:00.001', 1, 0)",
        "INSERT INTO state_frontier SELECT arrayJoin(['identities', 'customers', 'seen', 'segments', 'metrics', 'events']),
            '2026-01-01 00:00:00.003', now64()",
    ] {
        client.query_raw(statement).execute().await?;
    }
    Ok(())
}

fn router(clickhouse: Client) -> Router {
    app(AppState::new(clickhouse, Health::starting(&[]), None))
}

async fn get(router: Router, uri: &str) -> anyhow::Result<(StatusCode, String, String)> {
    let response = router.oneshot(Request::get(uri).body(Body::empty())?).await?;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let (status, kind) = (response.status(), kind.unwrap_or_default().to_owned());
    let body = to_bytes(response.into_body(), 1 << 20).await?;
    Ok((status, kind, String::from_utf8(body.to_vec())?))
}

async fn check(client: &Client, uri: &str, expect: Value) -> anyhow::Result<()> {
    let (status, _, body) = get(router(client.clone()), uri).await?;
    let body: Value = serde_json::from_str(&body)?;
    ensure!(status == StatusCode::OK && body == expect, "{uri}: {status} {body}");
    Ok(())
}

async fn check_problem(client: &Client, uri: &str, expect: u16, names: &str) -> anyhow::Result<()> {
    let (status, kind, body) = get(router(client.clone()), uri).await?;
    let problem: Value = serde_json::from_str(&body)?;
    ensure!(kind == "application/problem+json", "{uri}: {kind}");
    ensure!(status == expect && problem["status"] == expect, "{uri}: {status} {body}");
    ensure!(problem["detail"].as_str().is_some_and(|text| text.contains(names)), "{uri}: {body}");
    Ok(())
}

async fn any_member_finds_the_person(client: Client) -> anyhow::Result<()> {
    let person = json!({
        "account_id": "a", "customer_id": "9", "member_ids": ["9", "10"],
        "attributes": {"city": "Bogor"}, "team_ids": ["t"],
        "first_seen": "2025-01-01T00:00:00.000Z", "last_seen": "2025-01-02T00:00:00.000Z",
        "segments": [{"segment_id": "vip", "entered_at": "2026-01-01T00:00:00.002Z", "definition_version": 2}],
        "complete_through": "2026-01-01T00:00:00.003Z", "is_stale": true
    });
    check(&client, "/v1/customers/9?account_id=a", person.clone()).await?;
    check(&client, "/v1/customers/10?account_id=a", person).await
}

async fn ask(client: &Client, uri: &str) -> anyhow::Result<Value> {
    let (status, _, body) = get(router(client.clone()), uri).await?;
    ensure!(status == StatusCode::OK, "{uri}: {status} {body}");
    Ok(serde_json::from_str(&body)?)
}

async fn a_person_is_shown_as_of_a_time(client: Client) -> anyhow::Result<()> {
    let at = |time: &str, id: &str| format!("/v1/customers/{id}?account_id=a&as_of={time}");
    let before = ask(&client, &at("2026-01-01T00:00:00.001Z", "10")).await?;
    ensure!(before["customer_id"] == "10" && before["attributes"]["city"] == "Depok", "{before}");
    ensure!(before["segments"][0]["entered_at"] == "2026-01-01T00:00:00.001Z", "{before}");
    let after = ask(&client, &at("2026-01-01T00:00:00.002Z", "10")).await?;
    ensure!(after["customer_id"] == "9" && after["attributes"]["city"] == "Bogor", "{after}");
    ensure!(after["complete_through"] == "2026-01-01T00:00:00.002Z", "{after}");
    check_problem(&client, &at("2026-01-01T00:00:00.004Z", "10"), 400, "not complete").await?;
    check_problem(&client, &at("2026-01-01T00:00:00.001Z", "9"), 404, "9").await?;
    check_problem(&client, &at("yesterday", "9"), 400, "as_of").await
}

/// Feeds that a test tells; each is followed from the time that the tables are complete through.
struct Told(Mutex<Vec<Following>>);

impl Follow for Told {
    fn follow(&self, _: Vec<View>, after_ms: Millis) -> Following {
        assert_eq!(format_rfc3339(after_ms), "2026-01-01T00:00:00.003Z");
        self.0.lock().unwrap().pop().expect("it is followed no more often")
    }
}

/// Begins with the tables, goes on with the feed, and is given up where the feed has a gap.
async fn a_copy_says_what_the_tables_and_the_feeds_say(client: Client) -> anyhow::Result<()> {
    let (feed, following) = mpsc::channel(1);
    let (_next_feed, next) = mpsc::channel(1);
    let feeds = Told(Mutex::new(vec![next, following]));
    let state = AppState::new(client.clone(), Health::starting(&[]), None).with_feeds(feeds);
    let kept = tokio::spawn(state.clone().keep_replica(1 << 20));
    let router = app(state);
    let ask = async |uri: &str| -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&get(router.clone(), uri).await?.2)?)
    };
    let told_at = async |through: &str| {
        loop {
            let answer = ask("/v1/customers/9?account_id=a").await?;
            if answer["complete_through"] == through {
                return Ok::<_, anyhow::Error>(answer);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as Millis;
    let uris = ["a/9", "a/10", "a/11", "b/9", "b/10"].map(|of| {
        let (account, id) = of.split_once('/').unwrap_or_default();
        format!("/v1/customers/{id}?account_id={account}")
    });
    let rates =
        ["reply_rate?", "reply_rate?group_key=b-1&", "reply_rate?day=2026-01-01&", "all?", "none?"]
            .map(|of| format!("/v1/metrics/{of}account_id=a"));
    let members = ["vip", "many", "none"]
        .map(|segment| format!("/v1/segments/{segment}/members?account_id=a"));
    let uris: Vec<_> = uris.into_iter().chain(rates).chain(members).collect();
    let mut loaded = Vec::new();
    for uri in &uris {
        loaded.push(ask(uri).await?);
    }
    feed.send(Ok(Tick { t_ms: now_ms, rows: Vec::new() })).await?;
    let through = format_rfc3339(now_ms);
    told_at(&through).await?;
    for (uri, mut answer) in uris.iter().zip(loaded) {
        answer["complete_through"] = json!(through);
        for (field, now) in [("is_stale", json!(false)), ("as_of", json!(through))] {
            answer.get_mut(field).into_iter().for_each(|field| *field = now.clone());
        }
        let mut held = ask(uri).await?;
        // 1 in one of them, 1.0 in the other.
        for row in
            [&mut answer, &mut held].into_iter().filter_map(|one| one["values"].as_array_mut())
        {
            row.iter_mut().for_each(|row| row["rate"] = json!(row["rate"].as_f64()));
        }
        ensure!(held == answer, "{held} instead of {answer}");
    }
    // ClickHouse has not loaded this time: the copy alone can tell.
    let (mut found, mut asked) = (0, String::new());
    while found < 7 {
        let page = ask(&format!("/v1/segments/many/members?account_id=a&limit=3{asked}")).await?;
        let rows = page["members"].as_array().map_or(0, Vec::len);
        ensure!(page["as_of"] == through && rows == 3.min(7 - found), "{page}");
        found += rows;
        asked = format!("&cursor={}", page["next"].as_str().unwrap_or_default());
    }
    let exit = json!({"account_id": "a", "segment_id": "vip", "customer_id": "9", "change": "exited",
        "cause": "event", "definition_version": 2, "logical_time": format_rfc3339(now_ms + 1), "seq": 0, "deleted": 1});
    let json = exit.to_string().into_bytes().into();
    let rows = vec![FeedRow { view: View::Segments, partition: 0, json }];
    feed.send(Ok(Tick { t_ms: now_ms + 1, rows })).await?;
    let left = told_at(&format_rfc3339(now_ms + 1)).await?;
    ensure!(left["segments"] == json!([]) && left["attributes"]["city"] == "Bogor", "{left}");
    let nobody = ask("/v1/segments/vip/members?account_id=a").await?;
    ensure!(nobody["members"] == json!([]), "{nobody}");
    feed.send(Err(Ended::Gap)).await?;
    told_at("2026-01-01T00:00:00.003Z").await?;
    kept.abort();
    Ok(())
}

async fn pages_are_of_one_time(client: Client) -> anyhow::Result<()> {
    let path = "/v1/segments/many/members?account_id=a&limit=3";
    let (mut members, mut cursor, mut sizes) = (Vec::new(), String::new(), Vec::new());
    loop {
        let page = ask(&client, &format!("{path}{cursor}")).await?;
        let rows = page["members"].as_array().cloned().unwrap_or_default();
        sizes.push(rows.len());
        members.extend(rows.iter().map(|row| row["customer_id"].clone()));
        ensure!(page["as_of"] == "2026-01-01T00:00:00.003Z", "{page}");
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let all: Vec<Value> = (0..7).map(|n| json!(format!("{n:03}"))).collect();
    ensure!(members == all && sizes == [3, 3, 1], "{members:?} {sizes:?}");
    let early = format!("{path}&as_of=2026-01-01T00:00:00.001Z");
    ensure!(ask(&client, &early).await?["members"] == json!([]), "nobody was in yet");
    let gone = ask(&client, "/v1/segments/vip/members?account_id=a").await?;
    ensure!(gone["members"].as_array().map(Vec::len) == Some(1), "10 has left: {gone}");
    check_problem(&client, &format!("{path}0001"), 400, "limit").await?;
    check_problem(&client, &format!("{path}&cursor=x"), 400, "cursor").await
}

/// Against what is told by going through all changes, at each time and with pages of several sizes.
async fn pages_of_a_segment_that_most_have_left(client: Client) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(8);
    let mut changes: Vec<(String, Millis, bool)> = Vec::new();
    for n in 0..400 {
        let mut is_in = false;
        for time in 1..=3 {
            if random.u32(0..4) > 0 || is_in {
                is_in = !is_in;
                changes.push((format!("{n:03}"), time, is_in));
            }
        }
    }
    let row = |(id, time, is_in): &(String, Millis, bool)| {
        let (change, deleted) = if *is_in { ("entered", 0) } else { ("exited", 1) };
        format!(
            "('a', 'left', '{id}', '{change}', 'event', 1, '2026-01-01 00:00:00.00{time}', 0, {deleted})"
        )
    };
    let rows: Vec<String> = changes.iter().map(row).collect();
    let insert = format!("INSERT INTO landing_segments VALUES {}", rows.join(","));
    client.query_raw(&insert).execute().await?;
    for (time, limit) in [(1, 7), (2, 1), (2, 50), (3, 7), (3, 400), (3, 401)] {
        let mut expected = BTreeMap::new();
        for (id, at, is_in) in changes.iter().filter(|(_, at, _)| *at <= time) {
            if *is_in {
                expected.insert(id, *at)
            } else {
                expected.remove(id)
            };
        }
        let first = format!("&limit={limit}&as_of=2026-01-01T00:00:00.00{time}Z");
        let (mut asked, mut found) = (first.clone(), Vec::new());
        loop {
            let page =
                ask(&client, &format!("/v1/segments/left/members?account_id=a{asked}")).await?;
            let members = page["members"].as_array().cloned().unwrap_or_default();
            found.extend(
                members.iter().map(|row| (row["customer_id"].clone(), row["entered_at"].clone())),
            );
            let Some(next) = page["next"].as_str() else { break };
            ensure!(members.len() == limit, "a page that others follow is full: {page}");
            asked = format!("&limit={limit}&cursor={next}");
        }
        let of = |(id, at): (&String, Millis)| {
            (json!(id), json!(format!("2026-01-01T00:00:00.00{at}Z")))
        };
        let expected: Vec<_> = expected.into_iter().map(of).collect();
        ensure!(found == expected, "{first}: {found:?} is not {expected:?}");
    }
    Ok(())
}

async fn values_come_by_group_and_day(client: Client) -> anyhow::Result<()> {
    let values = async |uri: &str| -> anyhow::Result<Value> {
        let answer = ask(&client, &format!("/v1/metrics/{uri}")).await?;
        let rows = answer["values"].as_array().cloned().unwrap_or_default();
        let row = |row: &Value| {
            json!([row["group_key"], row["numerator"], row["denominator"], row["rate"]])
        };
        Ok(rows.iter().map(row).collect())
    };
    let now = values("reply_rate?account_id=a").await?;
    ensure!(now == json!([["b-1", 1, 4, 0.25]]), "b-2 has nobody any more: {now}");
    let then = values("reply_rate?account_id=a&as_of=2026-01-01T00:00:00.002Z").await?;
    ensure!(then == json!([["b-1", 1, 2, 0.5], ["b-2", 0, 1, 0]]), "{then}");
    let one =
        values("reply_rate?account_id=a&group_key=b-2&as_of=2026-01-01T00:00:00.002Z").await?;
    ensure!(one == json!([["b-2", 0, 1, 0]]), "{one}");
    let day = values("reply_rate?account_id=a&day=2026-01-01").await?;
    ensure!(day == json!([["2026-01-01", 1, 1, 1]]), "{day}");
    let whole = values("all?account_id=a").await?;
    ensure!(whole == json!([["", 1, 3, 0.3]]), "{whole}");
    ensure!(values("reply_rate?account_id=b").await? == json!([]), "accounts are apart");
    Ok(())
}

async fn versions_say_who_and_when(client: Client) -> anyhow::Result<()> {
    let answer = ask(&client, "/v1/definitions/segments/vip?account_id=a").await?;
    let version = |version: &Value| {
        json!([
            version["version"],
            version["changed_by"],
            version["valid_from"],
            version["valid_to"],
            version["definition"]
        ])
    };
    let versions: Value =
        answer["versions"].as_array().into_iter().flatten().map(version).collect();
    let expect = json!([
        [2, "you", "2026-01-01T00:00:00.002Z", null, {"version": 2}],
        [1, "me", "2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.002Z", {"version": 1}],
    ]);
    ensure!(versions == expect, "{answer}");
    let shipped = ask(&client, "/v1/definitions/metrics/reply_rate?account_id=b").await?;
    ensure!(shipped["versions"][0]["changed_by"] == "cebe", "{shipped}");
    check_problem(&client, "/v1/definitions/segments/vip?account_id=b", 404, "vip").await?;
    check_problem(&client, "/v1/definitions/other/vip?account_id=b", 400, "other").await
}

async fn accounts_are_apart(client: Client) -> anyhow::Result<()> {
    let person = json!({
        "account_id": "b", "customer_id": "9", "member_ids": [],
        "attributes": {}, "team_ids": [], "first_seen": null, "last_seen": null,
        "segments": [{"segment_id": "cold", "entered_at": "2026-01-01T00:00:00.002Z", "definition_version": 1}],
        "complete_through": "2026-01-01T00:00:00.003Z", "is_stale": true
    });
    check(&client, "/v1/customers/9?account_id=b", person).await?;
    check_problem(&client, "/v1/customers/10?account_id=b", 404, "10").await?;
    check_problem(&client, "/v1/customers/9?account_id=c", 404, "9").await
}

async fn hostile_ids_are_only_ids(client: Client) -> anyhow::Result<()> {
    for id in
        ["'%20OR%201=1%20--", "%5C'", "%7Bid:String%7D", "%3F", "%00", "%09%0A", "%F0%9F%98%80"]
    {
        check_problem(&client, &format!("/v1/customers/{id}?account_id=a"), 404, "").await?;
        check_problem(&client, &format!("/v1/customers/9?account_id={id}"), 404, "").await?;
    }
    Ok(())
}

async fn wrong_requests_say_what_is_wrong(client: Client) -> anyhow::Result<()> {
    check_problem(&client, "/v1/customers/9", 400, "account_id").await?;
    check_problem(&client, "/v1/customers/9?account_id=", 400, "account_id").await?;
    let long = "x".repeat(65);
    check_problem(&client, &format!("/v1/customers/{long}?account_id=a"), 400, "id has 65").await?;
    check_problem(&client, "/v1/customers/11?account_id=a", 404, "11").await?;
    let (_, _, body) = get(router(client.clone()), "/v1/customers/11?account_id=a").await?;
    let problem: Value = serde_json::from_str(&body)?;
    ensure!(problem["complete_through"] == "2026-01-01T00:00:00.003Z", "{body}");
    check_problem(&client, "/v1/nothing", 404, "path").await?;
    check_problem(&client, "/v1/customers/%FF?account_id=a", 400, "UTF-8").await?;
    check_problem(&client, "/v1/metrics/reply_rate?account_id=a&day=today", 400, "day").await?;
    let post = Request::post("/v1/customers/9").body(Body::empty())?;
    let response = router(client.clone()).oneshot(post).await?;
    ensure!(response.status() == StatusCode::METHOD_NOT_ALLOWED, "{:?}", response.status());
    ensure!(response.headers()[header::ALLOW] == "GET,HEAD", "{:?}", response.headers());
    let large = Request::post("/v1/preview").body(Body::from(vec![b' '; (1 << 20) + 1]))?;
    let response = router(client).oneshot(large).await?;
    ensure!(response.status() == StatusCode::PAYLOAD_TOO_LARGE, "{:?}", response.status());
    ensure!(response.headers()[header::CONTENT_TYPE] == "application/problem+json");
    Ok(())
}

async fn absent_clickhouse_is_503(_: Client) -> anyhow::Result<()> {
    let nobody = Client::default().with_url("http://127.0.0.1:1");
    check_problem(&nobody, "/v1/customers/9?account_id=a", 503, "clickhouse").await
}

async fn readiness_lists_its_parts(client: Client) -> anyhow::Result<()> {
    let health = Health::starting(&["engine", "kafka"]);
    let router = app(AppState::new(client, health.clone(), None));
    let (live, _, _) = get(router.clone(), "/livez").await?;
    let (ready, _, body) = get(router.clone(), "/readyz").await?;
    ensure!(live == StatusCode::OK && ready == StatusCode::SERVICE_UNAVAILABLE);
    ensure!(body == "[-]engine starting\n[-]kafka starting\n", "{body}");
    health.set("engine", Ok(()));
    health.set("kafka", Ok(()));
    let (ready, _, body) = get(router.clone(), "/readyz").await?;
    ensure!(ready == StatusCode::OK && body == "ok\n", "{body}");
    let (_, _, body) = get(router, "/readyz?verbose").await?;
    ensure!(body == "[+]engine ok\n[+]kafka ok\n", "{body}");
    Ok(())
}
