use crate::json::write::{write_text, write_texts, write_value};
use crate::time::{Millis, rfc3339_bytes};

/// Writes one JSON object, field by field. Names of fields are ours: nothing in them needs an escape.
pub(super) struct Object<'b> {
    out: &'b mut Vec<u8>,
    /// What stands before the next name.
    before: u8,
}

impl<'b> Object<'b> {
    pub(super) fn begin(out: &'b mut Vec<u8>) -> Object<'b> {
        Object { out, before: b'{' }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    /// Inlined, so that the length of a name is known where it is copied.
    #[inline(always)]
    fn name(&mut self, name: &'static str) {
        self.out.push(self.before);
        self.before = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    #[inline]
    pub(super) fn text(&mut self, name: &'static str, text: &str) {
        self.name(name);
        write_text(text, self.out);
    }

    pub(super) fn texts(&mut self, name: &'static str, texts: &[impl AsRef<str>]) {
        self.name(name);
        write_texts(texts.iter().map(AsRef::as_ref), self.out);
    }

    #[inline]
    pub(super) fn time(&mut self, name: &'static str, ms: Millis) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(&rfc3339_bytes(ms));
        self.out.push(b'"');
    }

    /// A time, or null.
    pub(super) fn time_option(&mut self, name: &'static str, ms: Option<Millis>) {
        match ms {
            Some(ms) => self.time(name, ms),
            None => self.json(name, "null"),
        }
    }

    /// A value that is JSON already.
    pub(super) fn json(&mut self, name: &'static str, json: &str) {
        self.name(name);
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A number, a name of a fixed list, or what else serde can write.
    pub(super) fn value(&mut self, name: &'static str, value: &impl serde::Serialize) {
        self.name(name);
        write_value(value, self.out);
    }

    /// An object of (name, JSON).
    pub(super) fn object<'m>(
        &mut self,
        name: &'static str,
        members: impl Iterator<Item = (&'m str, &'m str)>,
    ) {
        self.name(name);
        self.out.push(b'{');
        for (at, (key, json)) in members.enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            write_text(key, self.out);
            self.out.push(b':');
            self.out.extend_from_slice(json.as_bytes());
        }
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::format_rfc3339;
    use proptest::prelude::*;

    fn json(value: impl serde::Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    proptest! {
        #[test]
        fn writes_what_serde_json_writes(
            text in "[\u{0}-\u{7f}é😀\u{2028}]{0,40}",
            texts in prop::collection::vec(".{0,9}", 0..4),
            ms in any::<i64>(),
            number in any::<f64>(),
        ) {
            let mut out = Vec::new();
            let mut object = Object::begin(&mut out);
            object.text("a", &text);
            object.texts("b", &texts);
            object.time("c", ms);
            object.time_option("d", None);
            object.value("e", &number);
            object.object("f", [(&*text, "1"), ("g", "[]")].into_iter());
            object.end();
            let expect = format!(
                r#"{{"a":{},"b":{},"c":{},"d":null,"e":{},"f":{{{}:1,"g":[]}}}}"#,
                json(&text), json(&texts), json(format_rfc3339(ms)), json(number), json(&text),
            );
            prop_assert_eq!(String::from_utf8(out).unwrap(), expect);
        }
    }
}
