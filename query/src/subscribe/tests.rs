//! Subscribers that come again, over a feed that the test tells.

use std::sync::Mutex;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use cebe_schemas::time::Millis;
use cebe_schemas::view::View;
use clickhouse::Client;
use serde_json::json;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tower::ServiceExt;

use crate::feed::{Ended, FeedRow, Follow, Following, Tick};
use crate::health::Health;
use crate::{AppState, app};

const PLACE: Millis = 7;

struct Told(Mutex<Option<Following>>);

impl Follow for Told {
    fn follow(&self, views: Vec<View>, after_ms: Millis) -> Following {
        assert_eq!((views, after_ms), (vec![View::Segments], PLACE));
        self.0.lock().unwrap().take().expect("it is followed once")
    }
}

type Feed = Sender<Result<Tick, Ended>>;

async fn subscribed() -> (Feed, BodyDataStream) {
    let (feed, following) = mpsc::channel(1);
    let feeds = Told(Mutex::new(Some(following)));
    let state = AppState::new(Client::default(), Health::starting(&[]), None).with_feeds(feeds);
    let request = Request::get("/v1/changes?account_id=a&view=segments");
    let request = request.header("last-event-id", PLACE.to_string());
    let answer = app(state).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    (feed, answer.into_body().into_data_stream())
}

fn tick(t_ms: Millis) -> Tick {
    let entry = json!({"account_id": "a", "segment_id": "s", "customer_id": "1", "seq": 0});
    let json = entry.to_string().into_bytes().into();
    Tick { t_ms, rows: vec![FeedRow { view: View::Segments, partition: 0, json }] }
}

async fn read(mut events: BodyDataStream) -> String {
    let mut text = Vec::new();
    while let Some(bytes) = events.next().await {
        text.extend_from_slice(&bytes.unwrap());
    }
    String::from_utf8(text).unwrap()
}

fn values<'t>(text: &'t str, field: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.strip_prefix(field)).map(str::trim).collect()
}

#[tokio::test]
async fn a_slow_reader_holds_up_its_own_feed_and_misses_nothing() {
    let (feed, events) = subscribed().await;
    let mut next = PLACE + 1;
    while timeout(Duration::from_millis(200), feed.send(Ok(tick(next)))).await.is_ok() {
        next += 1;
        assert!(next < 200, "what nobody reads is gathered");
    }
    let end = next + 100;
    tokio::spawn(async move {
        for t_ms in next..end {
            feed.send(Ok(tick(t_ms))).await.unwrap();
        }
    });
    let text = read(events).await;
    let changes = values(&text, "id:").into_iter().filter(|id| id.contains('.'));
    let expected: Vec<_> = (PLACE + 1..end).map(|t_ms| format!("{t_ms}.segments.0.0")).collect();
    assert_eq!(changes.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn who_comes_too_late_is_told_to_begin_anew() {
    let (feed, events) = subscribed().await;
    feed.send(Ok(tick(PLACE + 1))).await.unwrap();
    feed.send(Err(Ended::Gap)).await.unwrap();
    let text = read(events).await;
    assert_eq!(values(&text, "event:"), ["change", "progress", "gap"]);
    assert_eq!(values(&text, "id:").last(), Some(&""), "an empty id: none is sent the next time");
}
