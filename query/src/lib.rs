//! The HTTP API: one axum router over the views in ClickHouse, and over the engine.
//!
//! * [`app()`]: the router; tests call it without a port. [`serve()`] puts it on one.
//! * [`define`]: how definitions are put in force; the binary appends them to Kafka.
//! * [`desk`]: how the engine is asked; the binary answers.
//! * [`health`]: what `/livez` and `/readyz` answer; the binary sets it.
//! * [`principal`]: who asks, and what it may.
//! * [`push`]: how events come in; the binary puts them into Kafka.
//! * [`feed`]: what is out, for those who subscribe; the binary reads it. `subscribe`: each of them.
//! * `replica`: customers as they are now, held in memory.
//! * [`telemetry`]: the recorder behind `/metrics`.
//! * `route`: one file a resource.
//! * `document`: what is said of the routes, as OpenAPI.
//! * `limit`: how long and how large a request may be; request metrics.
//! * `problem`: errors as RFC 9457. `sql`: queries of ClickHouse. `page`: answers in pages.
//!   `last`: answers of before.

mod app;
pub mod define;
pub mod desk;
mod document;
pub mod feed;
pub mod health;
mod last;
mod limit;
mod newest;
pub mod origin;
mod page;
pub mod principal;
mod problem;
pub mod push;
mod replica;
mod route;
mod serve;
mod sql;
mod subscribe;
pub mod telemetry;

pub use app::{AppState, app};
pub use serve::serve;

/// The time by this machine's clock.
fn now_ms() -> cebe_schemas::time::Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as i64
}
