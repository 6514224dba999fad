use std::sync::Arc;

use super::object::Object;
use crate::change::{Cause, Profile};
use crate::time::Millis;

/// The profile of a person is another than before.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomerRow {
    /// The tenant.
    pub account_id: Arc<str>,
    /// Canonical id of the person.
    pub customer_id: Arc<str>,
    /// Before; none: there was no such person.
    pub old: Option<Arc<Profile>>,
    /// Now; none: there is no such person any more.
    pub new: Option<Arc<Profile>>,
    /// Why.
    pub cause: Cause,
    /// When.
    pub logical_time: Millis,
}

impl CustomerRow {
    /// Its fields, in the order of the landing table. Who is not there has no members.
    pub(super) fn write(&self, seq: u32, row: &mut Object) {
        row.text("account_id", &self.account_id);
        row.text("customer_id", &self.customer_id);
        let none = Profile::default();
        let new = self.new.as_deref().unwrap_or(&none);
        row.texts("member_ids", &new.member_ids);
        row.object("attributes", attributes(new));
        row.texts("team_ids", &new.team_ids);
        let old = self.old.as_deref().unwrap_or(&none);
        row.texts("old_member_ids", &old.member_ids);
        row.object("old_attributes", attributes(old));
        row.texts("old_team_ids", &old.team_ids);
        row.value("cause", &self.cause);
        row.time("logical_time", self.logical_time);
        row.value("seq", &seq);
        row.value("deleted", &u8::from(self.new.is_none()));
    }
}

/// (name, JSON), sorted by name.
fn attributes(profile: &Profile) -> impl Iterator<Item = (&str, &str)> {
    profile.attributes.iter().map(|(name, value)| (&**name, value.json()))
}
