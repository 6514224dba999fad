//! What was bound before this engine began: the same ticks again, without publishing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use cebe_connectors::binding::Binding;
use cebe_connectors::fault;
use cebe_connectors::out::numbered::{Numbered, compare};
use cebe_connectors::out::progress_log::{self, ProgressLog};
use cebe_connectors::snapshot::KeptTick;
use cebe_schemas::change::{Cause, Membership};

use super::undo::Undone;
use super::{Computed, Engine};
use crate::recovery::answer;
use crate::succession::Succession;

/// A replay says how far it is this often.
const SAY_EVERY: Duration = Duration::from_secs(5);

impl Engine {
    /// Works through all bindings after the snapshot. What was published is compared, the rest published.
    pub fn replay(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let kafka = self.config.kafka_options();
        let last = progress_log::last(&kafka)?.map_or(0, |progress| progress.binding);
        let begins_at = std::mem::take(&mut self.begins_at);
        let mut published = ProgressLog::since(&kafka, begins_at.chain.head().t_ms)?;
        let mut bindings = self.log.replay(begins_at)?;
        let (mut said, mut records) = (Instant::now(), 0);
        while let Some(binding) = bindings.next(&self.log)? {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            // A tick through `last` that is not there is older than the topic's retention.
            let was_published = binding.number <= last;
            let progress = published.of(binding.number)?;
            let (tick, mut kept) = self.replay_tick(&binding, !was_published)?;
            fault::point("during_replay");
            if let Some(tick) = tick {
                match progress {
                    Some(progress) => compare(&progress, &tick.progress)?,
                    None if was_published => {}
                    None => self.publish(&tick, None)?,
                }
                kept.publish(&binding, tick.records);
            }
            self.adapter.commit()?;
            self.keeping.keep(kept, bindings.place(), &self.adapter);
            answer(&mut self.log)?;
            records += binding.records();
            if said.elapsed() > SAY_EVERY {
                let (at, of) = (binding.number, self.log.chain().head().number);
                tracing::info!(binding = at, of, records, "replaying");
                said = Instant::now();
            }
        }
        self.succession = None;
        tracing::info!(bindings = self.log.chain().head().number, records, "replayed");
        Ok(self.source.go_live(self.log.chain().positions())?)
    }

    /// A tick of the past; none if another logic has published it.
    fn replay_tick(
        &mut self,
        binding: &Binding,
        report: bool,
    ) -> anyhow::Result<(Option<Numbered>, KeptTick)> {
        let mine = self.logic_version;
        let Some(mut succession) = self.succession.take() else {
            if binding.logic_version != mine {
                bail!(
                    "binding {} has logic {}, and not {mine} as this version of cebe and the bindings \
                     before it: run the version that bound it until it has written a snapshot",
                    binding.number,
                    binding.logic_version
                );
            }
            let (tick, kept) = self.tick(binding, report)?;
            return Ok((Some(tick), kept));
        };
        let outcome = self.succeed(binding, report, &mut succession);
        self.succession = Some(succession);
        outcome
    }

    /// The same while bindings of another logic are replayed.
    fn succeed(
        &mut self,
        binding: &Binding,
        report: bool,
        succession: &mut Succession,
    ) -> anyhow::Result<(Option<Numbered>, KeptTick)> {
        let mine = self.logic_version;
        let Computed { mut rows, moments, mut kept, undone } = self.compute(binding, report)?;
        let has_undone = undone.is_some();
        if let Some(Undone { said, .. }) = undone {
            succession.become_of(said);
        }
        succession.note(&moments, self.adapter.token_keys());
        let (before, last_ms) = succession.follow(binding);
        self.keeping.follow(binding.logic_version);
        if binding.logic_version != mine {
            return Ok((None, kept));
        }
        if before == mine && !has_undone {
            kept.facts.memberships = Membership::of(&moments);
            return Ok((Some(self.number(binding, rows, moments)?), kept));
        }
        let cause = if before == mine { Cause::Backfill } else { Cause::Definition };
        let at = (binding, cause);
        rows.append(&mut self.differences(succession, last_ms, at, &mut kept)?);
        Ok((Some(self.number(binding, rows, Vec::new())?), kept))
    }
}
