//! Definitions, flags and settings put in force over HTTP: judged as the engine will, appended to its log, and
//! followed until it is known what became of them.
//!
//! * `document`: what a principal may change.

pub(crate) mod document;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use cebe_schemas::control::{ControlError, ControlState};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::CONTROL_TOPIC;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

use crate::desk::{Desk, Inquiry, When};
use crate::problem::Problem;

/// How long the engine may take to take a record in; afterwards the answer is `pending`.
const PATIENCE: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(20);
/// Records on their way to Kafka; more wait.
const UNDER_WAY_MAX: usize = 4;

/// It is not known whether the record was appended; appending it again is harmless.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAppended(pub String);

/// The offset of a record, once every in-sync replica has it.
pub type Appending = Pin<Box<dyn Future<Output = Result<i64, NotAppended>> + Send>>;

/// Appends records to `cebe.control`.
pub trait ControlLog: Send + Sync {
    /// Appends one.
    fn append(&self, record: Vec<u8>) -> Appending;
}

/// Puts definitions, flags and settings in force. Cheap to clone.
#[derive(Clone)]
pub struct Definer(Arc<Inner>);

struct Inner {
    control: watch::Receiver<Arc<ControlState>>,
    log: Box<dyn ControlLog>,
    under_way: Semaphore,
}

/// What became of a control record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Since its T.
    InForce(Millis),
    /// Until its history has been read.
    Waits,
    /// Something later overruled it, or it was refused: why, if that can be told.
    Refused(String),
    /// The engine has not taken it in so far.
    Pending,
}

impl Definer {
    /// `control` is what the engine was told so far.
    pub fn new(
        control: watch::Receiver<Arc<ControlState>>,
        log: impl ControlLog + 'static,
    ) -> Definer {
        let (log, under_way) = (Box::new(log), Semaphore::new(UNDER_WAY_MAX));
        Definer(Arc::new(Inner { control, log, under_way }))
    }

    /// What is in force, as far as is known here.
    pub(crate) fn in_force(&self) -> Arc<ControlState> {
        self.0.control.borrow().clone()
    }

    /// Judges `record` against what is in force.
    ///
    /// # Errors
    /// 400: names the field that is wrong.
    pub(crate) fn judge(&self, record: &Value) -> Result<(), Problem> {
        let mut state = (*self.in_force()).clone();
        state.apply(record.to_string().as_bytes()).map(drop).map_err(refused)
    }

    /// Appends `record`, and says what becomes of it.
    ///
    /// # Errors
    /// 400: it is wrong; 503: Kafka does not acknowledge it, or no engine answers.
    pub(crate) async fn put(&self, desk: &Desk, record: &Value) -> Result<(i64, Outcome), Problem> {
        self.judge(record)?;
        let turn = self.0.under_way.acquire().await;
        let _turn = turn.map_err(|_| Problem::unavailable("the server is shutting down"))?;
        let appended = self.0.log.append(record.to_string().into_bytes()).await;
        let offset = appended.map_err(|error| {
            tracing::warn!(%error, "a control record is not appended");
            let detail =
                "kafka does not acknowledge it: it may or may not be in force, send it again";
            Problem::unavailable(detail).retry_after(1)
        })?;
        Ok((offset, self.outcome(desk, offset, record).await))
    }

    async fn outcome(&self, desk: &Desk, offset: i64, record: &Value) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let topic = CONTROL_TOPIC.to_owned();
            let ask = |reply| Inquiry::Bound { topic, partition: 0, offset, reply };
            match desk.ask(PATIENCE, ask).await {
                Ok(When::At(t_ms) | When::By(t_ms)) => {
                    return self.settled(desk, offset, record, t_ms).await;
                }
                Ok(When::Never) if Instant::now() < deadline => sleep(LOOK).await,
                Ok(When::Never) | Err(_) => return Outcome::Pending,
            }
        }
    }

    /// What became of a record that was bound. Once it is in force, saying it again changes nothing.
    async fn settled(&self, desk: &Desk, offset: i64, record: &Value, t_ms: Millis) -> Outcome {
        let waits = desk.ask(PATIENCE, |reply| Inquiry::Waits { offset, reply }).await;
        if let Ok(true) = waits {
            return Outcome::Waits;
        }
        let mut state = (*self.in_force()).clone();
        match state.apply(record.to_string().as_bytes()) {
            Ok(applied) if applied == Default::default() => Outcome::InForce(t_ms),
            Ok(_) => Outcome::Refused("something else was put in force meanwhile".into()),
            Err(error) => Outcome::Refused(error.to_string()),
        }
    }
}

impl Outcome {
    /// As it is answered.
    pub(crate) fn told(&self, offset: i64) -> (StatusCode, Value) {
        let told = |state: &str| json!({"state": state, "control_offset": offset});
        match self {
            Outcome::InForce(t_ms) => {
                let mut told = told("in_force");
                told["in_force_since"] = format_rfc3339(*t_ms).into();
                (StatusCode::OK, told)
            }
            Outcome::Waits => (StatusCode::ACCEPTED, told("waits_for_history")),
            Outcome::Pending => (StatusCode::ACCEPTED, told("pending")),
            Outcome::Refused(reason) => {
                let mut told = told("refused");
                told["reason"] = reason.clone().into();
                (StatusCode::CONFLICT, told)
            }
        }
    }
}

fn refused(error: ControlError) -> Problem {
    Problem::definition(error.to_string())
}
