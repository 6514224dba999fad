//! One subscriber: its snapshot, then every change, then how far that is.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::sse::Event;
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::View;
use serde_json::json;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use super::filter::Filter;
use super::place::Place;
use crate::app::AppState;
use crate::feed::{Ended, Follow, Tick};
use crate::problem::Problem;

/// A subscriber that takes nothing for so long is cut off; it may come again, and go on.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a snapshot may take, of a view: as long as the subscriber takes to take it.
const SNAPSHOT_SECONDS_MAX: &str = "3600";
/// While nothing is wanted of the ticks, progress is told this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Where the events of a subscriber go.
pub(crate) type Events = Sender<Result<Event, Infallible>>;

/// The subscriber is gone, or too slow.
struct Gone;

pub(crate) struct Session {
    pub(crate) state: AppState,
    pub(crate) feeds: Arc<dyn Follow>,
    pub(crate) filter: Filter,
    pub(crate) events: Events,
}

impl Session {
    /// Goes on behind `place`; without one, with a snapshot of `through_ms` and behind that.
    pub(crate) async fn run(self, place: Option<Place>, through_ms: Millis) {
        let place = match place {
            Some(place) => place,
            None => match self.snapshot(through_ms).await {
                Ok(()) => Place::behind(through_ms),
                Err(Gone) => return,
            },
        };
        // That the subscriber is gone ends it; there is nobody to tell.
        let _ = self.follow(place).await;
    }

    async fn follow(&self, place: Place) -> Result<(), Gone> {
        let mut ticks = self.feeds.follow(self.filter.views.clone(), place.after_ms());
        let mut told = Instant::now();
        while let Some(tick) = ticks.recv().await {
            match tick {
                Ok(tick) => {
                    let sent = self.tick(&tick, place).await?;
                    if sent > 0 || told.elapsed() >= PROGRESS_EVERY {
                        told = Instant::now();
                        self.progress(tick.t_ms).await?;
                    }
                }
                Err(Ended::Gap) => return self.gap(place).await,
                Err(Ended::Broken(reason)) => {
                    tracing::error!(reason, "a subscriber cannot be served");
                    return Err(Gone);
                }
            }
        }
        Ok(())
    }

    /// The rows of a tick that are wanted and not behind `place`; how many.
    async fn tick(&self, tick: &Tick, place: Place) -> Result<usize, Gone> {
        let mut sent = 0;
        for row in &tick.rows {
            let Some(seq) = self.filter.wanted(row.view, &row.json) else { continue };
            let at = (row.view, row.partition, seq);
            if place.is_behind(tick.t_ms, at) {
                continue;
            }
            let id = Place { t_ms: tick.t_ms, row: Some(at) };
            self.send(of_row("change", row.view, &row.json).id(id.to_string())).await?;
            sent += 1;
        }
        Ok(sent)
    }

    async fn progress(&self, t_ms: Millis) -> Result<(), Gone> {
        let through = json!({"through": format_rfc3339(t_ms)});
        let event = Event::default().event("progress").id(Place::behind(t_ms).to_string());
        self.send(event.data(through.to_string())).await
    }

    /// An empty id, so that who comes again begins with a snapshot.
    async fn gap(&self, place: Place) -> Result<(), Gone> {
        let after = json!({"after": format_rfc3339(place.after_ms()),
            "message": "the changes after this time are there no more: connect without Last-Event-ID"});
        self.send(Event::default().event("gap").id("").data(after.to_string())).await
    }

    async fn snapshot(&self, through_ms: Millis) -> Result<(), Gone> {
        let mut rows = 0;
        for view in self.filter.views.clone() {
            rows += match self.snapshot_of(view, through_ms).await {
                Ok(rows) => rows?,
                Err(problem) => {
                    tracing::warn!(detail = problem.detail(), "a snapshot broke off");
                    return Err(Gone);
                }
            };
        }
        let end = json!({"through": format_rfc3339(through_ms), "rows": rows});
        let event = Event::default().event("snapshot-end").id(through_ms.to_string());
        self.send(event.data(end.to_string())).await
    }

    /// The rows of a view, as they come from ClickHouse.
    async fn snapshot_of(
        &self,
        view: View,
        through_ms: Millis,
    ) -> Result<Result<usize, Gone>, Problem> {
        let Some(sql) = sql(view) else { return Ok(Ok(0)) };
        let name = match view {
            View::Segments => self.filter.segment_id.as_deref(),
            _ => self.filter.metric.as_deref(),
        };
        let query = self.state.clickhouse.query_raw(sql);
        let query = query
            .with_setting("max_execution_time", SNAPSHOT_SECONDS_MAX)
            .param("t", format_rfc3339(through_ms))
            .param("account_id", &*self.filter.account_id)
            .param("name", name.unwrap_or_default());
        let mut cursor = query.fetch_bytes("JSONEachRow")?;
        let (mut line, mut rows) = (Vec::new(), 0);
        while let Some(bytes) = cursor.next().await? {
            for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(piece);
                if line.last() == Some(&b'\n') {
                    if let Err(gone) = self.send(of_row("snapshot", view, line.trim_ascii())).await
                    {
                        return Ok(Err(gone));
                    }
                    line.clear();
                    rows += 1;
                }
            }
        }
        Ok(Ok(rows))
    }

    async fn send(&self, event: Event) -> Result<(), Gone> {
        match timeout(PATIENCE, self.events.send(Ok(event))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

/// An event with a row, which says of which view it is.
fn of_row(event: &str, view: View, json: &[u8]) -> Event {
    let json = String::from_utf8_lossy(json);
    let rest = json.trim_start().strip_prefix('{').unwrap_or_default();
    Event::default().event(event).data(format!("{{\"view\":\"{}\",{rest}", view.name()))
}

fn sql(view: View) -> Option<&'static str> {
    Some(match view {
        View::Segments => {
            "SELECT account_id, segment_id, customer_id, entered_at, definition_version
             FROM segment_members_as_of(t = {t:String})
             WHERE account_id = {account_id:String} AND ({name:String} = '' OR segment_id = {name:String})"
        }
        View::Metrics => {
            "SELECT account_id, metric, group_key, numerator, denominator, rate
             FROM metric_values_as_of(t = {t:String})
             WHERE account_id = {account_id:String} AND ({name:String} = '' OR metric = {name:String})"
        }
        View::Identities => {
            "SELECT account_id, qontak_customer_id, customer_id FROM identities_as_of(t = {t:String})
             WHERE account_id = {account_id:String}"
        }
        View::Customers => {
            "SELECT account_id, customer_id, member_ids, attributes, team_ids, first_seen, last_seen
             FROM customers_as_of(t = {t:String}) WHERE account_id = {account_id:String}"
        }
        _ => return None,
    })
}
