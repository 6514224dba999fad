use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use cebe_connectors::binding::logic_version;
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::bindings::Bindings;
use cebe_connectors::kafka::source::{Source, SourceOptions};
use cebe_schemas::time::Millis;

use crate::eval::bound;

/// What was exported.
pub struct Exported {
    pub bindings: u64,
    pub records: u64,
    /// The T of the first binding of this logic, if there are bindings of another before it.
    pub since_ms: Option<Millis>,
}

/// Writes everything that was bound through `at_ms` to `file`.
///
/// # Errors
/// A record that was bound is not there any more: then nothing can be verified. So it is if the last
/// binding is of another logic.
pub fn export(kafka: &KafkaOptions, at_ms: Millis, file: &Path) -> anyhow::Result<Exported> {
    let shown = || format!("{}: cannot be written", file.display());
    let mut out = BufWriter::new(File::create(file).with_context(shown)?);
    let mut bindings = Bindings::open(kafka)?;
    let mut source = Source::open(kafka, SourceOptions::default())?;
    let mut exported = Exported { bindings: 0, records: 0, since_ms: None };
    let mut last = logic_version();
    while let Some(binding) = bindings.next_binding()? {
        if binding.t_ms > at_ms {
            break;
        }
        let taken = source
            .take(&binding.ranges)
            .context("the bound input is not complete, so that nothing can be compared with it")?;
        exported.bindings += 1;
        exported.records += taken.len() as u64;
        if binding.logic_version != last && exported.bindings > 1 {
            exported.since_ms = Some(binding.t_ms);
        }
        last = binding.logic_version;
        bound::write(&mut out, &binding, taken).with_context(shown)?;
    }
    out.flush().with_context(shown)?;
    if last != logic_version() {
        bail!(
            "the last binding has logic {last}, and this version of cebe has logic {}: verify with the \
             version that wrote it",
            logic_version()
        );
    }
    Ok(exported)
}
