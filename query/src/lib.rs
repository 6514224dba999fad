//! The HTTP API: one axum router over the views in ClickHouse, and over the engine.
//!
//! * [`app()`]: the router; tests call it without a port. [`serve`] puts it on one.
//! * [`desk`]: how the engine is asked; the binary answers.
//! * [`health`]: what `/livez` and `/readyz` answer; the binary sets it.
//! * [`telemetry`]: the recorder behind `/metrics`.
//! * `route`: one file a resource.
//! * `limit`: how long and how large a request may be; request metrics.
//! * `problem`: errors as RFC 9457.

mod app;
pub mod desk;
pub mod health;
mod limit;
mod problem;
mod route;
pub mod telemetry;

pub use app::{AppState, app, serve};
