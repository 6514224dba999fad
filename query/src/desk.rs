//! Asking the engine itself: what no table holds.
//!
//! The engine answers between two ticks. Whoever asks waits on a channel, and never for longer than
//! its patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use cebe_schemas::explanation::Explanation;
use cebe_schemas::preview::Preview;
use cebe_schemas::time::Millis;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::problem::Problem;

/// Inquiries that wait for the engine; more are turned away.
const WAITING_MAX: usize = 32;

/// Where the answer to an inquiry goes. It is closed once nobody waits any more.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// Something that the engine is asked.
#[derive(Debug)]
pub enum Inquiry {
    /// Which definitions and settings are in force.
    Definitions {
        /// Of this tenant.
        account_id: String,
        /// Takes one JSON object.
        reply: Reply<Value>,
    },
    /// Who holds an identifier.
    Find {
        /// The tenant.
        account_id: String,
        /// `phone`, `email` or another type.
        kind: String,
        /// As events give it.
        value: String,
        /// Takes the canonical ids of its persons, sorted: none if it identifies nobody.
        reply: Reply<Vec<Arc<str>>>,
    },
    /// The rates that a person counts in.
    CountsIn {
        /// The tenant.
        account_id: String,
        /// Any customer id of the person.
        customer_id: String,
        /// Takes them, sorted.
        reply: Reply<Vec<CountsIn>>,
    },
    /// Whether a control record waits for history.
    Waits {
        /// Where it is on `cebe.control`.
        offset: i64,
        /// Takes the answer.
        reply: Reply<bool>,
    },
    /// Which logical time took a record in.
    Bound {
        /// The record's topic, by its usual name.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// Takes the answer.
        reply: Reply<When>,
    },
    /// What definitions would change, were they put in force.
    Preview {
        /// One definition, or a document of several.
        document: Vec<u8>,
        /// The most names in each list of the answer.
        limit: usize,
        /// Takes the answer, once all persons have been looked at.
        reply: Reply<Preview>,
    },
    /// Why a customer belongs to a segment, or does not.
    Explain {
        /// The tenant.
        account_id: String,
        /// Any customer id of the person.
        customer_id: String,
        /// The segment.
        segment_id: String,
        /// Takes the answer, and the tokens of the identifiers that the person holds.
        reply: Reply<(Box<Explanation>, Vec<String>)>,
    },
}

/// A rate that a person counts in: it is in the denominator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CountsIn {
    /// Which metric.
    pub metric: Arc<str>,
    /// Which group; empty: the whole account.
    pub group_key: Arc<str>,
    /// Whether it is in the numerator as well.
    pub in_numerator: bool,
}

/// What is known of when a record was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It was not yet.
    Never,
    /// By this T at the latest; it is long ago.
    By(Millis),
    /// By this T.
    At(Millis),
}

/// Why the engine gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The question itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// What it is about does not exist.
    #[error("{0}")]
    Unknown(String),
    /// It cannot be answered from what the engine holds.
    #[error("{0}")]
    Conflict(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let (status, code) = match &refusal {
            Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid_definition"),
            Refusal::Unknown(_) => (StatusCode::NOT_FOUND, "unknown"),
            Refusal::Conflict(_) => (StatusCode::CONFLICT, "no_history"),
            Refusal::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        Problem::new(status, code, refusal.to_string())
    }
}

/// The side that asks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    sender: mpsc::Sender<Inquiry>,
    open: Arc<AtomicBool>,
}

/// The engine's side. Dropping it tells everybody who waits that the engine has stopped.
#[derive(Debug)]
pub struct Inquiries {
    receiver: mpsc::Receiver<Inquiry>,
    open: Arc<AtomicBool>,
}

impl Desk {
    /// Both sides; it is closed at first.
    pub fn new() -> (Desk, Inquiries) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let open = Arc::new(AtomicBool::new(false));
        (Desk { sender, open: open.clone() }, Inquiries { receiver, open })
    }

    /// Asks, and waits for the answer for as long as `patience`.
    pub(crate) async fn ask<T>(
        &self,
        patience: Duration,
        inquiry: impl FnOnce(Reply<T>) -> Inquiry,
    ) -> Result<T, Problem> {
        if !self.open.load(Ordering::Acquire) && !self.sender.is_closed() {
            return Err(Problem::unavailable(
                "the engine is replaying its log: ask again in a moment",
            ));
        }
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(inquiry(reply)).map_err(|error| match error {
            TrySendError::Full(_) => {
                Problem::unavailable("too many inquiries wait: ask again in a moment")
            }
            TrySendError::Closed(_) => Problem::unavailable("the engine has stopped"),
        })?;
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer.map_err(Problem::from),
            Ok(Err(_)) => {
                Err(Problem::unavailable("the engine has stopped, or dropped the inquiry"))
            }
            Err(_) => Err(Problem::unavailable(&format!(
                "the engine did not answer within {} s: ask again",
                patience.as_secs()
            ))),
        }
    }
}

impl Inquiries {
    /// From now on inquiries are taken.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Inquiries are turned away again.
    pub fn close(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// The next one, if any waits.
    pub fn take(&mut self) -> Option<Inquiry> {
        self.receiver.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    const SOON: Duration = Duration::from_millis(50);

    async fn ask(desk: &Desk) -> Result<Value, StatusCode> {
        let inquiry = |reply| Inquiry::Definitions { account_id: "a".into(), reply };
        desk.ask(SOON, inquiry).await.map_err(|problem| problem.into_response().status())
    }

    #[tokio::test]
    async fn whoever_cannot_be_answered_is_told_so_at_once_or_in_time() {
        let (desk, mut inquiries) = Desk::new();
        assert_eq!(ask(&desk).await, Err(StatusCode::SERVICE_UNAVAILABLE), "not open");
        assert!(inquiries.take().is_none());
        inquiries.open();
        assert_eq!(ask(&desk).await, Err(StatusCode::SERVICE_UNAVAILABLE), "nobody answers");
        let Some(Inquiry::Definitions { reply, .. }) = inquiries.take() else { panic!() };
        assert!(reply.is_closed(), "nobody waits any more");
        for _ in 0..WAITING_MAX {
            let (reply, _) = oneshot::channel();
            desk.sender.try_send(Inquiry::Definitions { account_id: "".into(), reply }).unwrap();
        }
        let long = Duration::from_secs(3600);
        let inquiry = |reply| Inquiry::Definitions { account_id: "a".into(), reply };
        assert!(desk.ask(long, inquiry).await.is_err(), "too many wait");
        drop(inquiries);
        assert!(desk.ask(long, inquiry).await.is_err(), "it has stopped");
    }

    #[tokio::test]
    async fn answers_and_refusals_reach_who_asked() {
        let (desk, mut inquiries) = Desk::new();
        inquiries.open();
        let engine = std::thread::spawn(move || {
            let answers = [Ok(Value::from(7)), Err(Refusal::Conflict("no".into()))];
            for answer in answers {
                let inquiry = std::iter::repeat_with(|| inquiries.take()).flatten().next();
                let Some(Inquiry::Definitions { reply, .. }) = inquiry else { panic!() };
                reply.send(answer).unwrap();
            }
        });
        let patient = Duration::from_secs(10);
        let inquiry = |reply| Inquiry::Definitions { account_id: "a".into(), reply };
        assert_eq!(desk.ask(patient, inquiry).await.unwrap(), 7);
        let refused = desk.ask(patient, inquiry).await.unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::CONFLICT);
        engine.join().unwrap();
    }
}
