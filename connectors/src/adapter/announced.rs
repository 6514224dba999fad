//! What the dataflow and the readers have been told of definitions and settings so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use cebe_schemas::control::{ControlState, Settings};
use cebe_schemas::definition::{About, Definitions, Selectors};
use cebe_schemas::fact::Linking;
use cebe_schemas::row::{DefinitionRow, Row};
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::Judge;

use super::AdaptedTick;

/// Told last.
#[derive(Debug, Default)]
pub(super) struct Announced {
    definitions: Option<Arc<Definitions>>,
    /// The same, in terms of what is stored.
    resolved: Arc<Definitions>,
    /// What these look at.
    in_force: Selectors,
    /// What any definition has ever looked at: once begun, its facts have no gap.
    selectors: Selectors,
    settings: Option<Settings>,
    linking: Option<Arc<Linking>>,
}

impl Announced {
    /// What has been told when `control` was in force, and definitions had looked at `selectors`.
    pub(super) fn restore(
        control: &ControlState,
        selectors: Selectors,
        judge: &Judge,
    ) -> Announced {
        let definitions = control.definitions();
        let resolved = Arc::new(resolve(&definitions, judge));
        Announced {
            in_force: Selectors::new(&resolved),
            resolved,
            definitions: Some(definitions),
            selectors,
            settings: Some(control.settings().clone()),
            linking: Some(Arc::new(linking(control.settings(), &judge.keys))),
        }
    }

    /// The definitions, in terms of what is stored, and what links: as the dataflow knows them.
    pub(super) fn told(&self) -> (Option<Arc<Definitions>>, Option<Arc<Linking>>) {
        (self.definitions.as_ref().map(|_| self.resolved.clone()), self.linking.clone())
    }

    /// Tells the dataflow what is others than before, and the readers each definition that is.
    pub(super) fn tell(&mut self, control: &ControlState, judge: &Judge, tick: &mut AdaptedTick) {
        let definitions = control.definitions();
        if !self.definitions.as_ref().is_some_and(|told| Arc::ptr_eq(told, &definitions)) {
            let resolved = Arc::new(resolve(&definitions, judge));
            tick.rows.extend(changed(&self.resolved, &resolved, tick.input.t_ms));
            self.selectors.extend(&resolved);
            self.in_force = Selectors::new(&resolved);
            self.definitions = Some(definitions);
            self.resolved = resolved.clone();
            tick.input.definitions = Some(resolved);
        }
        if self.settings.as_ref() != Some(control.settings()) {
            self.settings = Some(control.settings().clone());
            let linking = linking(control.settings(), &judge.keys);
            if self.linking.as_deref() != Some(&linking) {
                self.linking = Some(Arc::new(linking));
                tick.input.linking = self.linking.clone();
            }
        }
    }

    /// Makes the facts that `definitions` look at from now on, and returns of which selectors.
    pub(super) fn foresee(&mut self, definitions: &Definitions, judge: &Judge) -> Selectors {
        let resolved = resolve(definitions, judge);
        self.selectors.extend(&resolved);
        Selectors::new(&resolved)
    }

    /// What the definitions in force look at, whatever has been foreseen.
    pub(super) fn in_force(&self) -> &Selectors {
        &self.in_force
    }

    /// What definitions look at, or have ever looked at.
    pub(super) fn selectors(&self) -> &Selectors {
        &self.selectors
    }
}

pub(super) fn resolve(definitions: &Definitions, judge: &Judge) -> Definitions {
    definitions.resolved(
        |event_name| judge.catalogue.group_property(event_name).map(str::to_owned),
        |account_id, name, text| judge.stored_text(account_id, name, text),
    )
}

fn linking(settings: &Settings, keys: &Keys) -> Linking {
    Linking {
        holders_max: settings.max_customers_per_identifier as usize,
        members_max: settings.max_customers_per_person as usize,
        blocked: settings.block_list.values(keys),
    }
}

/// (kind, account, id).
type Place<'d> = (&'static str, &'d str, &'d str);

fn told(definitions: &Definitions) -> BTreeMap<Place<'_>, (u32, &About)> {
    let segments = definitions
        .segments
        .iter()
        .map(|s| (("segment", &*s.account_id, &*s.segment_id), (s.version, &s.about)));
    let metrics = definitions.metrics.iter().map(|m| {
        let account_id = m.account_id.as_deref().unwrap_or_default();
        (("metric", account_id, &*m.metric), (m.version, &m.about))
    });
    segments.chain(metrics).collect()
}

/// A row for each definition that came, went or changed.
fn changed(before: &Definitions, after: &Definitions, t_ms: Millis) -> Vec<Row> {
    let (before, after) = (told(before), told(after));
    let came = after.iter().filter(|(place, told)| before.get(*place) != Some(told));
    let went = before.iter().filter(|(place, _)| !after.contains_key(*place));
    let came = came.map(|(place, told)| row(*place, *told, false, t_ms));
    came.chain(went.map(|(place, told)| row(*place, *told, true, t_ms))).collect()
}

fn row(
    (kind, account_id, id): Place,
    (version, about): (u32, &About),
    removed: bool,
    logical_time: Millis,
) -> Row {
    Row::Definition(DefinitionRow {
        kind,
        account_id: account_id.to_owned(),
        id: id.to_owned(),
        version,
        title: about.title.as_deref().unwrap_or_default().to_owned(),
        definition: about.definition.to_string(),
        changed_by: about.changed_by.to_string(),
        logical_time,
        deleted: removed.into(),
    })
}
