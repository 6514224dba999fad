//! Metrics of the process, as Prometheus reads them.

use std::time::Duration;
use std::{io, thread};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Seconds; the promise is 5.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Rows of a batch.
const ROWS: [f64; 6] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];

/// How often samples are folded into their histograms, also while nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// There is a recorder already.
    #[error("metrics recorder: {0}")]
    Recorder(#[from] BuildError),
    /// The thread that keeps histograms small does not start.
    #[error("metrics upkeep thread: {0}")]
    Thread(#[from] io::Error),
}

/// Installs the recorder of the process: whatever is counted from now on shows in `/metrics`.
///
/// # Errors
/// There is a recorder already, or no thread can be started.
pub fn install() -> Result<PrometheusHandle, TelemetryError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_rows".into()), &ROWS)?
        .install_recorder()?;
    let kept = handle.clone();
    thread::Builder::new().name("cebe-metrics".into()).spawn(move || {
        loop {
            thread::sleep(UPKEEP_EVERY);
            kept.run_upkeep();
        }
    })?;
    Ok(handle)
}
