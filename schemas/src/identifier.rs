//! What links customers: phone numbers, emails and other identifiers, normalised (product §9.2).

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::fact::{Identifier, IdentifierValue};
use crate::token::Keys;

/// The type of an identifier that is a phone number.
pub const PHONE: &str = "phone";
/// The type of an identifier that is an email address.
pub const EMAIL: &str = "email";
/// Stands for every other type: they are normalised alike.
const OTHER: &str = "";

/// The longest valid number, its `+` written as `00` and a `0` after the country: what is longer is
/// no phone number.
const MAX_TYPED_DIGITS: usize = 18;

/// Values that link nobody, beside those that never do: `settings.block_list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockList(Vec<String>);

impl BlockList {
    /// Of these entries.
    pub fn new(entries: Vec<String>) -> BlockList {
        BlockList(entries)
    }

    /// The entries as given.
    pub fn entries(&self) -> &[String] {
        &self.0
    }

    /// Each entry as every type of identifier that it can be.
    pub fn values(&self, keys: &Keys) -> BTreeSet<IdentifierValue> {
        let of_kind = |entry: &str, kind| Some(value(keys, kind, &normalise(kind, entry)?));
        let values = |entry: &String| [PHONE, EMAIL, OTHER].map(|kind| of_kind(entry, kind));
        self.0.iter().flat_map(values).flatten().collect()
    }
}

/// The normal form of `value` as an identifier of type `kind`; none if it is no identifier.
pub fn normalise<'v>(kind: &str, value: &'v str) -> Option<Cow<'v, str>> {
    if is_placeholder(value) {
        return None;
    }
    match kind {
        PHONE => phone(value),
        EMAIL => email(value),
        _ => other(value),
    }
}

/// `text` as an identifier of type `kind`; none if it is no identifier.
pub fn identify(keys: &Keys, account_id: &str, kind: &str, text: &str) -> Option<Identifier> {
    let normal = normalise(kind, text)?;
    Some(Identifier {
        token: keys.token(account_id, kind, &normal),
        value: value(keys, kind, &normal),
    })
}

/// The hash of a normal form, the same for all accounts. Types that are normalised alike are one.
fn value(keys: &Keys, kind: &str, normal: &str) -> IdentifierValue {
    let kind = if [PHONE, EMAIL].contains(&kind) { kind } else { OTHER };
    IdentifierValue(keys.id_key().hash(b'v', &[kind.as_bytes(), normal.as_bytes()]) as u64)
}

/// The words and values that stand for "unknown" in every source's data (product §9.2).
fn is_placeholder(value: &str) -> bool {
    const WORDS: [&str; 8] =
        ["-", "null", "none", "undefined", "n/a", "test@test.com", "test@example.com", ""];
    let value = value.trim();
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
        || value.bytes().all(|byte| byte == b'0')
}

/// E.164 by the rules of product §9.2: default region +62, no numbering-plan check.
pub(crate) fn phone(value: &str) -> Option<Cow<'_, str>> {
    let mut normal = String::with_capacity(MAX_TYPED_DIGITS + 3);
    let mut plus = false;
    for c in value.chars() {
        match c {
            '0'..='9' if normal.len() < MAX_TYPED_DIGITS => normal.push(c),
            '+' if normal.is_empty() && !plus => plus = true,
            '-' | '(' | ')' | '.' => {}
            _ if c.is_whitespace() => {}
            _ => return None,
        }
    }
    if !plus {
        add_country(&mut normal);
    }
    if normal.starts_with("620") {
        normal.remove(2);
    }
    let valid = (8..=15).contains(&normal.len()) && normal.bytes().any(|byte| byte != b'0');
    normal.insert(0, '+');
    valid.then_some(Cow::Owned(normal))
}

/// Digits without a `+`, as international ones.
fn add_country(digits: &mut String) {
    if digits.starts_with("00") {
        digits.drain(..2);
    } else if digits.starts_with('0') {
        digits.replace_range(..1, "62");
    } else if !digits.starts_with("62") || digits.len() < 10 {
        digits.insert_str(0, "62");
    }
}

/// Trimmed and lower-cased; it needs an `@`.
pub(crate) fn email(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim();
    if !value.contains('@') {
        return None;
    }
    if value.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Some(Cow::Borrowed(value));
    }
    Some(Cow::Owned(value.to_lowercase()))
}

/// Trimmed.
fn other(value: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, value: &str, expect: Option<&str>) {
        let found = normalise(kind, value);
        assert_eq!(found.as_deref(), expect, "{kind} {value:?}");
    }

    #[test]
    fn phones() {
        for value in [
            "0812-3456-7890",
            "+62 812 3456 7890",
            "+62 (0)812.3456.7890",
            "006281234567890",
            "6281234567890",
            "62081234567890",
            "81234567890",
            "(0812) 3456-7890",
            "  0812\t3456 7890 ",
            "0062 0812 3456 7890",
        ] {
            check(PHONE, value, Some("+6281234567890"));
        }
        check(PHONE, "+1 (415) 555-2671", Some("+14155552671"));
        check(PHONE, "001 415 555 2671", Some("+14155552671"));
        // Fewer than 10 digits: a local number that happens to begin with 62.
        check(PHONE, "621234567", Some("+62621234567"));
        check(PHONE, "6212345678", Some("+6212345678"));
        check(PHONE, "+62 00 812345", Some("+620812345"));
    }

    #[test]
    fn phones_have_8_to_15_digits() {
        check(PHONE, "12345", None);
        check(PHONE, "123456", Some("+62123456"));
        check(PHONE, "+1234567", None);
        check(PHONE, "+12345678", Some("+12345678"));
        check(PHONE, "+123456789012345", Some("+123456789012345"));
        check(PHONE, "+1234567890123456", None);
    }

    #[test]
    fn not_phones() {
        for value in [
            "",
            "-",
            "+",
            "0",
            "00",
            "0000000000",
            "000-000-0000",
            "12+3456789",
            "081234x567",
            "n/a",
        ] {
            check(PHONE, value, None);
        }
        check(PHONE, "٠٨١٢٣٤٥٦٧٨٩", None);
        check(PHONE, &"0812 ".repeat(100), None);
        for value in
            ["++6281234567890", "62+81234567890", "+", "-+-", "+62 812 3456 789O", "0812–34567890"]
        {
            check(PHONE, value, None);
        }
    }

    #[test]
    fn emails() {
        check(EMAIL, " Budi@Example.ID ", Some("budi@example.id"));
        check(EMAIL, "ÄB@x.id", Some("äb@x.id"));
        check(EMAIL, "budi.example.id", None);
        for value in
            ["", " ", "NULL", "None", "undefined", "N/A", "Test@Test.com", "test@example.com "]
        {
            check(EMAIL, value, None);
        }
    }

    #[test]
    fn others_are_trimmed_and_keep_their_case() {
        check("wa_id", " Ab-1 ", Some("Ab-1"));
        check("wa_id", " none ", None);
        check("wa_id", "000", None);
        check("wa_id", "test@test.com", None);
    }

    #[test]
    fn block_list_compares_normal_forms() {
        let keys = Keys::development();
        let entries = ["0800 1234 567", "Info@Shop.id", " x "].map(str::to_owned);
        let blocked_values = BlockList::new(entries.into()).values(&keys);
        for (kind, value, blocked) in [
            (PHONE, "+62 800 1234567", true),
            (PHONE, "+62 800 1234568", false),
            (EMAIL, "INFO@shop.id", true),
            ("wa_id", "x", true),
            ("wa_id", "X", false),
            // As another type, the entry is only trimmed.
            ("wa_id", "+628001234567", false),
        ] {
            let identifier = identify(&keys, "a", kind, value).unwrap();
            assert_eq!(blocked_values.contains(&identifier.value), blocked, "{kind} {value}");
        }
    }

    /// The sentence of product §9.2, word for word.
    fn naive_phone(value: &str) -> Option<String> {
        let bare: String =
            value.chars().filter(|c| !c.is_whitespace() && !"-().".contains(*c)).collect();
        let mut number = if bare.starts_with('+') {
            bare
        } else if let Some(rest) = bare.strip_prefix("00") {
            format!("+{rest}")
        } else if let Some(rest) = bare.strip_prefix('0') {
            format!("+62{rest}")
        } else if bare.starts_with("62") && bare.len() >= 10 {
            format!("+{bare}")
        } else {
            format!("+62{bare}")
        };
        if let Some(rest) = number.strip_prefix("+620") {
            number = format!("+62{rest}");
        }
        let digits = number.strip_prefix('+')?;
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        let only_zeros = digits.bytes().all(|byte| byte == b'0');
        (all_digits && !only_zeros && (8..=15).contains(&digits.len())).then_some(number)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4096))]
        #[test]
        fn phones_as_the_contract_says(value in "(\\+|00|0|62|\\+62|\\+620|)[-0-9(). +]{0,20}|.{0,12}") {
            proptest::prop_assert_eq!(phone(&value).map(Cow::into_owned), naive_phone(&value));
        }
    }
}
