//! Ctrl-C: the servers are to be stopped all the same.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};

static SEEN: AtomicBool = AtomicBool::new(false);

pub fn install() -> anyhow::Result<()> {
    ctrlc::set_handler(|| SEEN.store(true, Ordering::Relaxed)).context("ctrl-c cannot be caught")
}

pub fn check() -> anyhow::Result<()> {
    ensure!(!SEEN.load(Ordering::Relaxed), "interrupted");
    Ok(())
}
