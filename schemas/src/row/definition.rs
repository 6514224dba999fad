use super::object::Object;
use crate::time::Millis;

/// A definition came into force, or was removed.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinitionRow {
    /// `segment` or `metric`.
    pub kind: &'static str,
    /// The tenant; "" for a metric that holds for every account.
    pub account_id: String,
    /// The segment's or the metric's id.
    pub id: String,
    /// Given by its author.
    pub version: u32,
    /// Given by its author; "" if none.
    pub title: String,
    /// The definition as it was given: one JSON object; that of the version before, when removed.
    pub definition: String,
    /// Who changed it.
    pub changed_by: String,
    /// When.
    pub logical_time: Millis,
    /// 1 when it was removed.
    pub deleted: u8,
}

impl DefinitionRow {
    /// Its fields, in the order of the landing table.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("kind", self.kind);
        row.text("account_id", &self.account_id);
        row.text("id", &self.id);
        row.value("version", &self.version);
        row.text("title", &self.title);
        row.text("definition", &self.definition);
        row.text("changed_by", &self.changed_by);
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
        row.value("deleted", &self.deleted);
    }
}
