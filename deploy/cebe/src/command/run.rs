//! `cebe run`: engine, loader and HTTP API in one process.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use cebe_connectors::adapter::AdaptError;
use cebe_connectors::key_index::KeyIndexError;
use cebe_connectors::loader::{self, Loader, LoaderConfig, LoaderStatus};
use cebe_connectors::rebuild::RebuildError;
use cebe_connectors::snapshot::{ReadError, StoreError};
use cebe_query::desk::Desk;
use cebe_query::health::Health;
use cebe_query::{AppState, app, origin, serve, telemetry};
use cebe_schemas::control::{ControlState, Ingestion};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::Config;
use crate::definer;
use crate::desk::Clerk;
use crate::door;
use crate::engine::Engine;
use crate::feeds::Feeds;
use crate::logging;
use crate::recovery::Stopped;

/// How often the parts are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long an engine whose disk fails waits before it begins again, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct Args {
    /// Go on although Kafka has deleted records before they were read. Each range is named in the log,
    /// and counts as nothing: the ledger tells of records that were read.
    #[arg(long)]
    accept_loss: bool,
}

pub fn run(config: Config, args: Args) -> anyhow::Result<ExitCode> {
    logging::init(&config.log)?;
    let telemetry = telemetry::install().context("metrics cannot be recorded")?;
    let health = Health::starting(&["engine", "loader"]);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the http runtime does not start")?;
    let client = config.clickhouse_client().with_database(&config.clickhouse.database);
    let (desk, inquiries) = Desk::new();
    let (control, told) = watch::channel(Arc::new(ControlState::with_unlisted(Ingestion::On)));
    let keys = config.http_keys()?;
    // Without a runtime around it the producer has nothing to wake anybody with.
    let door = runtime.block_on(async { door::open(&config, told.clone()) })?;
    let state = AppState::new(client, health.clone(), Some(telemetry))
        .with_desk(desk)
        .with_keys(keys)
        .with_door(door)
        .with_definer(definer::open(&config, told))
        .with_feeds(Feeds(config.kafka_options()));
    if config.http.replica_bytes_max > 0 {
        runtime.spawn(state.clone().keep_replica(config.http.replica_bytes_max as usize));
    }
    let app = origin::allow(app(state), &config.http.origins).context("http.origins")?;
    let listener = runtime
        .block_on(TcpListener::bind(&config.http.listen))
        .with_context(|| format!("http.listen {}", config.http.listen))?;
    tracing::info!(address = %listener.local_addr()?, "http api listens");

    let (shutdown, stopping) = watch::channel(false);
    let clerk = Clerk::new(inquiries, control);
    let parts = Parts::start(&config, &args, &health, clerk, stopping.clone())?;
    let outcome = runtime.block_on(async {
        let mut stop = stopping.clone();
        let server = tokio::spawn(serve(listener, app, async move {
            // A sender that is gone means the same.
            let _ = stop.wait_for(|stop| *stop).await;
        }));
        let outcome = tokio::select! {
            outcome = parts.watch(&health) => outcome,
            signal = terminated() => signal,
        };
        health.set("engine", Err("shutting down".into()));
        // The receivers outlive this block.
        let _ = shutdown.send(true);
        server.await.context("http server")?.context("http server")?;
        outcome
    });
    parts.stop().and(outcome)?;
    tracing::info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// What runs beside the HTTP API, each on a thread of its own.
struct Parts {
    stop: Arc<AtomicBool>,
    engine: JoinHandle<anyhow::Result<()>>,
    loader: Loader,
}

impl Parts {
    fn start(
        config: &Config,
        args: &Args,
        health: &Health,
        clerk: Clerk,
        stopping: watch::Receiver<bool>,
    ) -> anyhow::Result<Parts> {
        let loader = LoaderConfig::new(
            &config.kafka.brokers,
            config.clickhouse_client(),
            &config.clickhouse.database,
        );
        crate::backfills::watch(config.kafka_options())?;
        let loader = loader::run(loader, stopping)?;
        let loaded = loader.status();
        let stop = Arc::new(AtomicBool::new(false));
        let (config, stopped, health) = (config.clone(), stop.clone(), health.clone());
        let accept_loss = args.accept_loss;
        let engine = std::thread::Builder::new()
            .name("cebe-engine".into())
            .spawn(move || keep_running(&config, accept_loss, clerk, &loaded, &stopped, &health))?;
        Ok(Parts { stop, engine, loader })
    }

    /// Keeps `health` up to date; returns when a part has ended by itself.
    async fn watch(&self, health: &Health) -> anyhow::Result<()> {
        let status = self.loader.status();
        while !self.engine.is_finished() && !self.loader.is_finished() {
            let clickhouse_up = status.borrow().clickhouse_up;
            let loader = if clickhouse_up { Ok(()) } else { Err("waits for clickhouse".into()) };
            health.set("loader", loader);
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let engine = self.engine.join().map_err(|_| anyhow!("the engine's thread panicked"));
        let loader = self.loader.join().context("loader");
        engine.and_then(|outcome| outcome.context("engine")).and(loader)
    }
}

/// Runs the engine until it is told to stop. If its disk fails it begins again, from the snapshot: a disk
/// that was full may have room by then, and an index that was damaged is made anew.
fn keep_running(
    config: &Config,
    accept_loss: bool,
    mut clerk: Clerk,
    loaded: &watch::Receiver<LoaderStatus>,
    stop: &AtomicBool,
    health: &Health,
) -> anyhow::Result<()> {
    let mut pause = PAUSE;
    loop {
        let began = Instant::now();
        let outcome = run_engine(config, accept_loss, &mut clerk, loaded, stop, health);
        let error = match outcome {
            Err(error) if is_of_the_disk(&error) => error,
            outcome => return outcome,
        };
        if began.elapsed() > PAUSE_MAX {
            pause = PAUSE;
        }
        let pause_ms = pause.as_millis() as u64;
        tracing::error!(error = format!("{error:#}"), pause_ms, "the engine begins again");
        health.set("engine", Err("its disk fails; it begins again".into()));
        clerk.close();
        let until = Instant::now() + pause;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn run_engine(
    config: &Config,
    accept_loss: bool,
    clerk: &mut Clerk,
    loaded: &watch::Receiver<LoaderStatus>,
    stop: &AtomicBool,
    health: &Health,
) -> anyhow::Result<()> {
    let mut engine = match Engine::start(config.clone(), accept_loss, stop) {
        Err(error) if error.is::<Stopped>() => return Ok(()),
        started => started?,
    };
    health.set("engine", Err("replaying".into()));
    engine.replay(stop)?;
    health.set("engine", Ok(()));
    engine.run(clerk, loaded, stop)
}

/// Whether the key index or the snapshots cannot be read or written.
fn is_of_the_disk(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(AdaptError::KeyIndex(_)))
        || matches!(
            error.downcast_ref(),
            Some(RebuildError::Store(_) | RebuildError::NotWritten(_))
        )
        || error.is::<KeyIndexError>()
        || error.is::<StoreError>()
        || error.is::<ReadError>()
}

async fn terminated() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("asked to end");
    Ok(())
}
