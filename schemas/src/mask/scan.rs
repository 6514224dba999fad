//! Finds what reads as a phone number or an email address in free text.
//!
//! It errs towards finding: what is masked without need is still equal to itself through its
//! token, what is missed is stored in clear.

use std::ops::Range;

use crate::time::parse_rfc3339;

/// What a piece of text reads as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Phone,
    Email,
}

/// More digits than this in a row, separators aside, read as a phone number (product §9.2: valid
/// from 8 on); one less where it begins as phone numbers do.
const PHONE_DIGITS: usize = 8;
/// Separators in a row that do not end a number, as in `0812 - 3456`.
const MAX_GAP: usize = 5;

/// The first piece of `text` from `from` on that must not be stored.
pub(super) fn next(text: &str, from: usize) -> Option<(Range<usize>, Kind)> {
    let email = next_email(text, from);
    let until = email.as_ref().map_or(text.len(), |found| found.start);
    match next_phone(&text[..until], from) {
        Some(phone) => Some((phone, Kind::Phone)),
        None => email.map(|found| (found, Kind::Email)),
    }
}

/// Whether `text` can be skipped: most strings can, and this is much faster than to look closely.
pub(super) fn is_harmless(text: &str) -> bool {
    let mut digits = 0;
    for byte in text.bytes() {
        match byte {
            b'@' | b'%' | 0x80.. => return text.len() < 3,
            b'0'..=b'9' => digits += 1,
            _ => {}
        }
    }
    digits < PHONE_DIGITS - 1 || is_uuid(text) || parse_rfc3339(text).is_some()
}

/// Text around an `@`, also where it is percent-encoded or full-width.
fn next_email(text: &str, from: usize) -> Option<Range<usize>> {
    let mut search = from;
    loop {
        let (at, len) = ["@", "%40", "＠"]
            .iter()
            .filter_map(|sign| Some((search + text[search..].find(sign)?, sign.len())))
            .min()?;
        let local = text[from..at].rfind(ends_local).map_or(from, |stop| {
            from + stop + text[from + stop..].chars().next().map_or(0, char::len_utf8)
        });
        let after = at + len;
        let end = text[after..].find(ends_domain).map_or(text.len(), |stop| after + stop);
        // Punctuation around an address is the sentence's.
        let is_punctuation = |c: char| !c.is_alphanumeric();
        let local = at - text[local..at].trim_start_matches(is_punctuation).len();
        let end = after + text[after..end].trim_end_matches(is_punctuation).len();
        if local < at && after < end {
            return Some(local..end);
        }
        search = after;
    }
}

fn ends_local(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "<>()[],;:\"".contains(c)
}

fn ends_domain(c: char) -> bool {
    ends_local(c) || "/?&#|='".contains(c)
}

/// Digits with no more than separators between them, with the `+` before them.
fn next_phone(text: &str, from: usize) -> Option<Range<usize>> {
    let mut run: Option<Run> = None;
    let mut skip_to = from;
    for (offset, c) in text[from..].char_indices() {
        let at = from + offset;
        if at < skip_to {
            continue;
        }
        match (&mut run, digit(c)) {
            (Some(run), Some(_)) => {
                run.digits += 1;
                run.end = at + c.len_utf8();
                run.gap = 0;
            }
            (None, Some(value)) => match timestamp_len(text, at) {
                Some(len) => skip_to = at + len,
                None => {
                    let plus = text[from..at].ends_with('+');
                    run = Some(Run {
                        start: at - usize::from(plus),
                        end: at + c.len_utf8(),
                        digits: 1,
                        gap: 0,
                        prefixed: plus || value == 0,
                    });
                }
            },
            (Some(open), None) if is_separator(c) && open.gap < MAX_GAP => open.gap += 1,
            (Some(open), None) => {
                if open.is_phone() {
                    return Some(open.start..open.end);
                }
                run = None;
            }
            (None, None) => {}
        }
    }
    run.filter(Run::is_phone).map(|run| run.start..run.end)
}

/// Digits seen so far.
struct Run {
    start: usize,
    end: usize,
    digits: usize,
    /// Separators since the last digit.
    gap: usize,
    /// Begins with `+` or `0`.
    prefixed: bool,
}

impl Run {
    fn is_phone(&self) -> bool {
        self.digits >= PHONE_DIGITS - usize::from(self.prefixed)
    }
}

/// ASCII, full-width, Arabic-Indic and Persian digits.
pub(super) fn digit(c: char) -> Option<u32> {
    match c {
        '0'..='9' => Some(c as u32 - '0' as u32),
        '０'..='９' => Some(c as u32 - '０' as u32),
        '\u{660}'..='\u{669}' => Some(c as u32 - 0x660),
        '\u{6f0}'..='\u{6f9}' => Some(c as u32 - 0x6f0),
        _ => None,
    }
}

/// What people, spreadsheets and phones put between digits, invisible characters included.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '.' | '(' | ')' | '·' | '−' | '（' | '）' | '．' | '－' | '\u{ad}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2010}'..='\u{2015}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}' | '\u{feff}' | '\u{fe63}')
}

/// The length of `2026-11-23`, with a time of day if there is one: eight digits, but no phone.
fn timestamp_len(text: &str, at: usize) -> Option<usize> {
    let rest = &text.as_bytes()[at..];
    let date = rest.get(..10)?;
    let fits = |range: Range<usize>, least: &[u8], most: &[u8]| {
        let part = &date[range];
        part.iter().all(u8::is_ascii_digit) && (least..=most).contains(&part)
    };
    let is_date = date[4] == b'-'
        && date[7] == b'-'
        && fits(0..4, b"1900", b"2099")
        && fits(5..7, b"01", b"12")
        && fits(8..10, b"01", b"31");
    if !is_date {
        return None;
    }
    let is_time_byte = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.');
    let time_len = match &rest[10..] {
        [b'T' | b't' | b' ', a, b, b':', ..] if a.is_ascii_digit() && b.is_ascii_digit() => {
            1 + rest[11..].iter().take(15).take_while(|byte| is_time_byte(byte)).count()
        }
        // Goes on as a number would.
        [b'0'..=b'9', ..] | [b'-' | b'.', b'0'..=b'9', ..] => return None,
        _ => 0,
    };
    Some(10 + time_len)
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expect`: the text with what is found in brackets.
    fn check(expect: &str) {
        let text = expect.replace(['⟨', '⟩'], "");
        let mut found = String::new();
        let mut from = 0;
        if !is_harmless(&text) {
            while let Some((range, _)) = next(&text, from) {
                found.push_str(&text[from..range.start]);
                found.push_str(&format!("⟨{}⟩", &text[range.clone()]));
                from = range.end;
            }
        }
        found.push_str(&text[from..]);
        assert_eq!(found, expect);
    }

    #[test]
    fn finds_phones() {
        for text in [
            "⟨081234567890⟩",
            "⟨0812-3456-7890⟩",
            "call ⟨0812 3456 7890⟩ now",
            "wa:⟨+62 (812) 3456-7890⟩.",
            "⟨+62812.3456.7890⟩",
            "(⟨0812) 3456 7890⟩",
            "WA⟨081234567890⟩x",
            "⟨0812 - 3456 - 7890⟩",
            "⟨0812\u{a0}3456\u{2011}7890⟩",
            "⟨\u{ff10}\u{ff18}\u{ff11}\u{ff12}34567890⟩",
            "⟨0812\u{200b}345678⟩",
            "⟨0812345⟩",
            "⟨+812345 6⟩",
            "⟨4111 1111 1111 1111⟩",
            "2026-11-23 ⟨081234567890⟩",
            "⟨2026-11-2345⟩",
            "at 2026-11-23 04:31:00.123456 by ⟨08123456789⟩",
            "tel:⟨08123456789⟩, ⟨08123456780⟩",
        ] {
            check(text);
        }
    }

    #[test]
    fn finds_emails() {
        for text in [
            "⟨budi@example.id⟩",
            "Budi <⟨budi@example.id⟩>",
            "mailto:⟨Budi.S+tag@example.co.id⟩?x=1",
            "⟨budi%40example.id⟩&x=1",
            "a ⟨budi＠example.id⟩",
            "⟨a@b⟩, ⟨c@d⟩;⟨0812-3456-7890⟩",
            "⟨o'brien/x=y&z@x.id⟩",
            "⟨0812345678@s.whatsapp.net⟩",
            "⟨ä@ö.id⟩",
            "«⟨a@b.id⟩».",
            "_⟨a_@b.id⟩!",
            "…@…, a@!, !@a",
            "@x @ ⟨y@z⟩ @",
        ] {
            check(text);
        }
    }

    #[test]
    fn leaves_the_rest() {
        for text in [
            "",
            "b-204",
            "1048576",
            "12 items at 50%",
            "@handle and me@",
            "2026-11-23",
            "2026-11-23T04:31:00.123456789Z",
            "from 2026-11-23 to 2026-12-01.",
            "550e8400-e29b-41d4-a716-446655440000",
            "1,000,000,000",
            "é 50 %",
        ] {
            check(text);
        }
    }
}
