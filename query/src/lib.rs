//! The HTTP API: one axum router over the views in ClickHouse, and over the engine.
//!
//! * [`app()`]: the router; tests call it without a port. [`serve`] puts it on one.
//! * [`desk`]: how the engine is asked; the binary answers.
//! * [`health`]: what `/livez` and `/readyz` answer; the binary sets it.
//! * [`principal`]: who asks, and what it may.
//! * [`push`]: how events come in; the binary puts them into Kafka.
//! * [`telemetry`]: the recorder behind `/metrics`.
//! * `route`: one file a resource.
//! * `limit`: how long and how large a request may be; request metrics.
//! * `problem`: errors as RFC 9457. `sql`: queries of ClickHouse.

mod app;
pub mod desk;
pub mod health;
mod limit;
pub mod principal;
mod problem;
pub mod push;
mod route;
mod sql;
pub mod telemetry;

pub use app::{AppState, app, serve};
