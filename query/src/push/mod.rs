//! What comes in over HTTP: read, examined as the engine will, and put on the topics of its sources.
//!
//! * `body`: a body, unpacked and cut into events.
//! * `examine`: each event's verdict before it is published. `hint`: what may have been meant.
//! * `mixpanel`: Mixpanel's shape, as an envelope.
//! * `rate`: how much a tenant may push.
//! * `answer`: what is said of all that.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod examine;
mod hint;
pub(crate) mod mixpanel;
mod rate;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::StatusCode;
use cebe_schemas::control::{ControlState, Ingestion};
use cebe_schemas::time::Millis;
use cebe_schemas::verdict::Judge;
use tokio::sync::watch;

pub use rate::Rate;

use crate::principal::Principal;
use crate::problem::Problem;
use examine::{Failure, Good};
use rate::Limiter;

/// An event for the topic of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The publisher.
    pub source_module: Arc<str>,
    /// Decides the partition.
    pub key: String,
    /// The envelope.
    pub payload: Vec<u8>,
    /// When the request with it was received.
    pub created_ms: Millis,
}

/// Where an event was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// Of the topic of its source.
    pub partition: i32,
    /// In that partition.
    pub offset: i64,
}

/// Not all events are known to be published: the sender has to send them again, under the same keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unpublished(pub String);

/// Where each event was put, in their order, once every in-sync replica has it.
pub type Publishing = Pin<Box<dyn Future<Output = Result<Vec<Put>, Unpublished>> + Send>>;

/// Puts events on the topics of their sources.
pub trait Publish: Send + Sync {
    /// Publishes all of them.
    fn publish(&self, events: Vec<Outgoing>) -> Publishing;
}

/// The door by which events come in. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    judge: Judge,
    control: watch::Receiver<Arc<ControlState>>,
    topics: Box<dyn Publish>,
    limiter: Limiter,
}

/// What became of the events of a request.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// So many are right.
    pub(crate) good: usize,
    /// Those that are published: index, source, where.
    pub(crate) put: Vec<(usize, Arc<str>, Put)>,
    pub(crate) failures: Vec<Failure>,
    /// Sources that are off, as far as is known: what they publish is skipped.
    pub(crate) off: Vec<Arc<str>>,
}

impl Door {
    /// `judge` as the engine has it; `control` is what the engine was told so far, or nothing yet.
    pub fn new(
        judge: Judge,
        control: watch::Receiver<Arc<ControlState>>,
        topics: impl Publish + 'static,
        rate: Rate,
    ) -> Door {
        let limiter = Limiter::new(rate);
        Door(Arc::new(Inner { judge, control, topics: Box::new(topics), limiter }))
    }

    /// The event types.
    pub(crate) fn judge(&self) -> &Judge {
        &self.0.judge
    }

    /// Examines `events`, and publishes the good ones unless it is a `dry_run`.
    ///
    /// # Errors
    /// 429: a tenant pushes too much; 503: Kafka does not acknowledge them.
    pub(crate) async fn take(
        &self,
        events: Vec<Vec<u8>>,
        who: &Principal,
        now_ms: Millis,
        dry_run: bool,
    ) -> Result<Taken, Problem> {
        let control = self.0.control.borrow().clone();
        let (door, who) = (self.clone(), who.clone());
        let examine = move || door.examine_all(events, &who, &control, now_ms);
        // Two thousand events take some milliseconds, in which others are to be answered.
        let examined = tokio::task::spawn_blocking(examine).await;
        let (good, mut taken) = examined.map_err(|_| Problem::internal("examining failed"))?;
        taken.good = good.len();
        if !dry_run && !good.is_empty() {
            self.admit(&good)?;
            let (indices, events): (Vec<_>, Vec<_>) =
                good.into_iter().map(|(at, one)| (at, one.outgoing)).unzip();
            let sources: Vec<_> = events.iter().map(|event| event.source_module.clone()).collect();
            let put = self.0.topics.publish(events).await?;
            let places = indices.into_iter().zip(sources).zip(put);
            taken.put = places.map(|((at, source), put)| (at, source, put)).collect();
        }
        if !dry_run {
            count(&taken);
        }
        Ok(taken)
    }

    fn examine_all(
        &self,
        events: Vec<Vec<u8>>,
        who: &Principal,
        control: &ControlState,
        now_ms: Millis,
    ) -> (Vec<(usize, Good)>, Taken) {
        let (mut good, mut taken) = (Vec::new(), Taken::default());
        let all_on = control.all_on();
        for (at, payload) in events.into_iter().enumerate() {
            match examine::examine(&self.0.judge, payload, who, &all_on, now_ms) {
                Ok(one) => {
                    let source = &one.outgoing.source_module;
                    let is_off = match control.ingestion(source) {
                        Ingestion::Off => true,
                        Ingestion::On => false,
                        Ingestion::Accounts(accounts) => !accounts.contains(&*one.account_id),
                    };
                    if is_off && !taken.off.contains(source) {
                        taken.off.push(source.clone());
                    }
                    good.push((at, one));
                }
                Err(failure) => taken.failures.push(Failure { index: at, ..*failure }),
            }
        }
        (good, taken)
    }

    /// Whether each tenant may push so many events now.
    fn admit(&self, good: &[(usize, Good)]) -> Result<(), Problem> {
        let mut tenants: BTreeMap<&str, u32> = BTreeMap::new();
        for (_, one) in good {
            *tenants.entry(&one.account_id).or_default() += 1;
        }
        tenants.into_iter().try_for_each(|(account, events)| self.0.limiter.admit(account, events))
    }
}

fn count(taken: &Taken) {
    let pushed =
        |outcome: &'static str| metrics::counter!("cebe_http_events_total", "outcome" => outcome);
    pushed("published").increment(taken.put.len() as u64);
    pushed("refused").increment(taken.failures.len() as u64);
    for failure in &taken.failures {
        tracing::debug!(
            reason = failure.reason,
            pointer = failure.pointer,
            "event refused over http"
        );
    }
}

impl From<Unpublished> for Problem {
    fn from(Unpublished(reason): Unpublished) -> Problem {
        tracing::warn!(reason, "events that came over http are not published");
        let detail =
            "kafka does not acknowledge the events: send all of them again, under the same keys";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(1)
    }
}
