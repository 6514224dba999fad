//! The last answer to a question, for when there is no new one in time (product §6).

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::Value;

use crate::principal::credential;
use crate::problem::Problem;

/// Who asks does not wait longer for a new answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Larger answers are not kept.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// What all of them may take.
const BYTES_MAX: u64 = 64 << 20;
/// About how many that is.
const ANSWERS: usize = 32_768;

/// Who asked, and for what.
type Question = (Option<String>, String);

/// The last answer to each question, as long as there is room. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LastAnswers {
    answers: Arc<Cache<Question, Bytes, Size>>,
    patience: Duration,
}

#[derive(Clone)]
struct Size;

impl Weighter<Question, Bytes> for Size {
    fn weight(&self, (who, what): &Question, answer: &Bytes) -> u64 {
        (who.as_ref().map_or(0, String::len) + what.len() + answer.len()) as u64
    }
}

impl Default for LastAnswers {
    fn default() -> Self {
        let answers = Arc::new(Cache::with_weighter(ANSWERS, BYTES_MAX, Size));
        LastAnswers { answers, patience: PATIENCE }
    }
}

/// Answers in time: with what is asked for, or else with the last answer to the same question.
pub(crate) async fn apply(
    State(last): State<LastAnswers>,
    request: Request,
    next: Next,
) -> Response {
    let question = (credential(request.headers()), request.uri().to_string());
    let response = match tokio::time::timeout(last.patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("there is no answer in time: try again").into_response(),
    };
    match response.status() {
        StatusCode::OK => last.keep(question, response).await,
        StatusCode::SERVICE_UNAVAILABLE => match last.answers.get(&question) {
            Some(answer) => shown(&answer).unwrap_or(response),
            None => response,
        },
        _ => response,
    }
}

impl LastAnswers {
    async fn keep(&self, question: Question, response: Response) -> Response {
        let (head, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, usize::MAX).await else {
            return Problem::internal("an answer broke off").into_response();
        };
        if bytes.len() <= ANSWER_BYTES_MAX {
            self.answers.insert(question, bytes.clone());
        }
        Response::from_parts(head, Body::from(bytes))
    }
}

/// An answer that was given before. Its time is the one that it was true for.
fn shown(answer: &[u8]) -> Option<Response> {
    let mut answer: Value = serde_json::from_slice(answer).ok()?;
    let fields = answer.as_object_mut()?;
    fields.insert("is_stale".into(), true.into());
    fields.insert("is_last_known".into(), true.into());
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Some((StatusCode::OK, kind, answer.to_string()).into_response())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;

    async fn ask(app: &Router, path: &str, key: &str) -> (StatusCode, Value) {
        let request = Request::get(path).header("authorization", format!("Bearer {key}"));
        let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_question_that_was_answered_before_is_answered_always() {
        static HANGS: AtomicBool = AtomicBool::new(false);
        let handler = || async {
            if HANGS.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            axum::Json(json!({"rate": 0.5, "complete_through": "t", "is_stale": false}))
        };
        let last = LastAnswers { patience: Duration::from_millis(50), ..LastAnswers::default() };
        let app = Router::new().route("/rate", get(handler)).layer(from_fn_with_state(last, apply));
        let (_, first) = ask(&app, "/rate?id=1", "a.b").await;
        assert_eq!(first["is_stale"], false);
        HANGS.store(true, Ordering::Relaxed);
        let (status, last) = ask(&app, "/rate?id=1", "a.b").await;
        assert_eq!(status, StatusCode::OK);
        let told =
            json!({"rate": 0.5, "complete_through": "t", "is_stale": true, "is_last_known": true});
        assert_eq!(last, told);
        for (path, key) in [("/rate?id=2", "a.b"), ("/rate?id=1", "c.d")] {
            let (status, problem) = ask(&app, path, key).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
        }
    }
}
