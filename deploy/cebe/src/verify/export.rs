use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use cebe_connectors::binding::LOGIC_VERSION;
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::bindings::Bindings;
use cebe_connectors::kafka::source::{Source, SourceOptions};
use cebe_schemas::time::Millis;

use crate::eval::bound;

/// Writes everything that was bound through `at_ms` to `file`; returns bindings and records.
///
/// # Errors
/// A record that was bound is not there any more: then nothing can be verified.
pub fn export(kafka: &KafkaOptions, at_ms: Millis, file: &Path) -> anyhow::Result<(u64, u64)> {
    let shown = || format!("{}: cannot be written", file.display());
    let mut out = BufWriter::new(File::create(file).with_context(shown)?);
    let mut bindings = Bindings::open(kafka)?;
    let mut source = Source::open(kafka, SourceOptions::default())?;
    let (mut count, mut records) = (0, 0);
    while let Some(binding) = bindings.next_binding()? {
        if binding.t_ms > at_ms {
            break;
        }
        if binding.logic_version != LOGIC_VERSION {
            bail!(
                "binding {} was made under version {} of the rules, and this is version \
                 {LOGIC_VERSION}: verify with the version that wrote it",
                binding.number,
                binding.logic_version
            );
        }
        let taken = source
            .take(&binding.ranges)
            .context("the bound input is not complete, so that nothing can be compared with it")?;
        (count, records) = (count + 1, records + taken.len() as u64);
        bound::write(&mut out, &binding, taken).with_context(shown)?;
    }
    out.flush().with_context(shown)?;
    Ok((count, records))
}
