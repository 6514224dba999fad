//! Asking a running engine over HTTP, at the address that it listens on.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::config::Config;

/// Longer than the server takes for its longest answer.
const PATIENCE: Duration = Duration::from_secs(140);
/// A preview may hold a million names.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// The body of a GET of `path`.
///
/// # Errors
/// No engine answers, or it says why it does not.
pub fn get(config: &Config, path: &str, query: &[(&str, &str)]) -> anyhow::Result<String> {
    let request = agent().get(url(config, path)).query_pairs(query.iter().copied());
    body(config, request.header("authorization", bearer(config)).call())
}

/// The body of the answer to a POST of `document` to `path`.
///
/// # Errors
/// As of [`get`].
pub fn post(
    config: &Config,
    path: &str,
    query: &[(&str, &str)],
    document: &[u8],
) -> anyhow::Result<String> {
    let request = agent().post(url(config, path)).query_pairs(query.iter().copied());
    let request = request.header("authorization", bearer(config));
    body(config, request.header("content-type", "application/json").send(document))
}

/// Where there are no keys, nobody looks at it.
fn bearer(config: &Config) -> String {
    format!("Bearer {}", config.http.key)
}

fn agent() -> Agent {
    let timeout = Some(PATIENCE);
    let agent = Agent::config_builder().timeout_global(timeout).http_status_as_error(false);
    agent.build().into()
}

fn url(config: &Config, path: &str) -> String {
    format!("http://{}{path}", config.http.listen)
}

fn body(config: &Config, response: Result<Response<Body>, ureq::Error>) -> anyhow::Result<String> {
    let listen = &config.http.listen;
    let mut response = response.with_context(|| {
        format!("no engine answers at http.listen {listen}: start one, or set CEBE_HTTP_LISTEN")
    })?;
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let body = body.read_to_string().with_context(|| format!("the engine at {listen}"))?;
    if response.status().is_success() {
        return Ok(body);
    }
    let problem: Value = serde_json::from_str(&body).unwrap_or_default();
    match problem["detail"].as_str() {
        Some(detail) => bail!("{detail}"),
        None => bail!("the engine at {listen} answers {}: {body}", response.status()),
    }
}
