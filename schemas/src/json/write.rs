//! JSON text, byte for byte as `serde_json` writes it.

use super::Node;

/// Appends `texts` as an array of strings.
pub(crate) fn write_texts<'t>(texts: impl IntoIterator<Item = &'t str>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, text) in texts.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(text, out);
    }
    out.push(b']');
}

/// Appends `text` as a string.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    // Most texts are plain, and those that are not are mostly JSON in JSON, full of quotes.
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.reserve(2 * text.len());
        for byte in text.bytes() {
            match is_plain(byte) {
                true => out.push(byte),
                false => escape(byte, out),
            }
        }
    }
    out.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    out.push(b'\\');
    match byte {
        0x08 => out.push(b'b'),
        0x0c => out.push(b'f'),
        b'\n' => out.push(b'n'),
        b'\r' => out.push(b'r'),
        b'\t' => out.push(b't'),
        ..0x20 => {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
            out.extend_from_slice(&[b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        _ => out.push(byte),
    }
}

/// Appends whatever serde can write.
pub(crate) fn write_value(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Into memory, and keys are strings: nothing that could fail.
    let _ = serde_json::to_writer(out, value);
}

/// What was written by the functions of this module, as text.
pub(crate) fn into_text(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap_or_default()
}

impl Node<'_> {
    /// Appends the node.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Node::Null => out.extend_from_slice(b"null"),
            Node::Bool(value) => write_value(value, out),
            Node::Number(number) => write_value(number, out),
            Node::Text(text) => write_text(text, out),
            Node::Deep(raw) => write_text(raw, out),
            Node::Array(items) => {
                let mut before = b'[';
                for item in items {
                    out.push(before);
                    before = b',';
                    item.write(out);
                }
                close(before, b"[]", out);
            }
            Node::Object(members) => {
                let mut before = b'{';
                for (key, value) in members {
                    out.push(before);
                    before = b',';
                    write_text(key, out);
                    out.push(b':');
                    value.write(out);
                }
                close(before, b"{}", out);
            }
        }
    }
}

/// Ends a container: `before` is a comma if anything is in it.
fn close(before: u8, empty: &[u8; 2], out: &mut Vec<u8>) {
    match before {
        b',' => out.push(empty[1]),
        _ => out.extend_from_slice(empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use proptest::prelude::*;
    use serde_json::Value;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn texts_are_escaped_as_serde_json_does(
            texts in prop::collection::vec("[\u{0}-\u{7f}é😀\u{2028}]{0,40}", 0..4),
        ) {
            let found = written(|out| write_texts(texts.iter().map(String::as_str), out));
            prop_assert_eq!(found, serde_json::to_string(&texts).unwrap());
        }

        #[test]
        fn nodes_are_written_as_serde_json_does(text in "[\\[\\]{}:,\"a0-9.eE \\-]{0,30}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let node = parse(text.as_bytes()).unwrap();
                prop_assert_eq!(written(|out| node.write(out)), value.to_string());
            }
        }
    }
}
