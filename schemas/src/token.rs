//! The secret of an installation, and what is made with it: tokens and keyed hashes.

use crate::id::{IdKey, Token};

/// The sub-keys of one installation. Whoever has them can test a guess of a phone number against
/// a token, so they are as confidential as the data.
#[derive(Clone)]
pub struct Keys {
    key_id: String,
    id_key: IdKey,
    token_key: [u8; 32],
    text_key: [u8; 32],
}

/// The secret or its name cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// See the message.
    #[error("key id {0:?} is not 1 to 16 of a-z, 0-9, - and _: rename the key")]
    KeyId(String),
    /// See the message.
    #[error(
        "the secret has {0} bytes, fewer than {MIN_SECRET_BYTES}: generate one with a random source"
    )]
    ShortSecret(usize),
}

/// A secret shorter than this could be guessed.
pub const MIN_SECRET_BYTES: usize = 32;

/// The key id of [`Keys::development`], visible in every token made with it.
pub const DEVELOPMENT_KEY_ID: &str = "dev";

impl Keys {
    /// Derives every sub-key from `secret` (BLAKE3 `derive_key`, one context for each purpose).
    ///
    /// # Errors
    /// A short secret; a key id that is not 1 to 16 of `a-z0-9_-`, or that is reserved.
    pub fn new(key_id: &str, secret: &[u8]) -> Result<Keys, KeyError> {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if key_id.is_empty()
            || key_id.len() > 16
            || !key_id.bytes().all(plain)
            || key_id == DEVELOPMENT_KEY_ID
        {
            return Err(KeyError::KeyId(key_id.to_owned()));
        }
        if secret.len() < MIN_SECRET_BYTES {
            return Err(KeyError::ShortSecret(secret.len()));
        }
        Ok(Keys::derive(key_id, secret))
    }

    /// Keys that everyone knows, for tests, demos and `eval`: tokens begin with `dev:`.
    pub fn development() -> Keys {
        Keys::derive(DEVELOPMENT_KEY_ID, b"this secret is public and protects nothing")
    }

    fn derive(key_id: &str, secret: &[u8]) -> Keys {
        let ids = blake3::derive_key("cebe v1 hashed ids of the dataflow", secret);
        let mut id_secret = [0; 16];
        id_secret.copy_from_slice(&ids[..16]);
        Keys {
            key_id: key_id.to_owned(),
            id_key: IdKey::new(id_secret),
            token_key: blake3::derive_key("cebe v1 identifier tokens", secret),
            text_key: blake3::derive_key("cebe v1 masked text", secret),
        }
    }

    /// The name of the secret, part of every rendered token.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The key of hashed ids.
    pub fn id_key(&self) -> &IdKey {
        &self.id_key
    }

    /// The token of an identifier: equal exactly where account, kind and normalised value are.
    pub fn token(&self, account_id: &str, kind: &str, normalised: &str) -> Token {
        keyed(&self.token_key, &[account_id.as_bytes(), kind.as_bytes(), normalised.as_bytes()])
    }

    /// The token of any other text, for equality within the account.
    pub fn text_token(&self, account_id: &str, text: &str) -> Token {
        keyed(&self.text_key, &[account_id.as_bytes(), text.as_bytes()])
    }

    /// The keyed hash of a record that must not be stored, as 32 hex digits.
    pub fn record_hash(&self, record: &[u8]) -> String {
        format!("{:032x}", keyed(&self.text_key, &[record]).0)
    }

    /// `<key_id>:<32 hex digits>`.
    pub fn render(&self, token: Token) -> String {
        let mut text = String::with_capacity(self.key_id.len() + 33);
        self.render_into(token, &mut text);
        text
    }

    /// The token that [`Keys::render`] made this text of; none if it was made with another key.
    pub fn parse(&self, text: &str) -> Option<Token> {
        let digits = text.strip_prefix(&self.key_id)?.strip_prefix(':')?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_rendered = digits.len() == 32 && digits.bytes().all(is_digit);
        u128::from_str_radix(digits, 16).ok().filter(|_| is_rendered).map(Token)
    }

    /// Appends what [`Keys::render`] returns.
    pub(crate) fn render_into(&self, token: Token, text: &mut String) {
        text.push_str(&self.key_id);
        text.push(':');
        let digits = (0..32).rev().map(|place| (token.0 >> (4 * place)) as usize & 15);
        text.extend(digits.map(|digit| char::from(b"0123456789abcdef"[digit])));
    }
}

/// The first 128 bits of BLAKE3 in keyed mode over length-prefixed parts, so that no two lists of
/// parts are one input.
fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> Token {
    // In one piece: for short inputs an incremental hasher costs more than the hash.
    let mut input = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        input.extend_from_slice(&(part.len() as u64).to_le_bytes());
        input.extend_from_slice(part);
    }
    let mut first = [0; 16];
    first.copy_from_slice(&blake3::keyed_hash(key, &input).as_bytes()[..16]);
    Token(u128::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_by_account_kind_value_and_secret() {
        let keys = Keys::development();
        let other = Keys::new("k1", &[7; 32]).unwrap();
        let token = keys.token("a", "phone", "+62");
        let all = [
            keys.token("b", "phone", "+62"),
            keys.token("a", "email", "+62"),
            keys.token("a", "phone", "+63"),
            keys.token("ap", "hone", "+62"),
            keys.text_token("a", "+62"),
            other.token("a", "phone", "+62"),
        ];
        assert!(all.iter().all(|each| *each != token));
        assert_eq!(keys.token("a", "phone", "+62"), token);
    }

    #[test]
    fn renders_with_the_key_id() {
        assert_eq!(
            Keys::new("k1", &[7; 32]).unwrap().render(Token(255)),
            "k1:000000000000000000000000000000ff"
        );
    }

    #[test]
    fn only_what_was_rendered_with_the_key_is_read() {
        let keys = Keys::development();
        let token = keys.token("a", "phone", "+62");
        let text = keys.render(token);
        assert_eq!(keys.parse(&text), Some(token));
        let other = Keys::new("k1", &[7; 32]).unwrap();
        for wrong in ["", "dev", "dev:", &text[1..], &text[..35], &other.render(token)] {
            assert_eq!(keys.parse(wrong), None, "{wrong}");
        }
        assert_eq!(keys.parse(&format!("dev:+{}", &text[5..])), None, "a sign is no digit");
    }

    #[test]
    fn refuses_what_is_not_a_key() {
        assert_eq!(Keys::new("k", &[0; 31]).err(), Some(KeyError::ShortSecret(31)));
        for id in ["", "dev", "K", "a:b", "12345678901234567"] {
            assert_eq!(Keys::new(id, &[0; 32]).err(), Some(KeyError::KeyId(id.into())), "{id}");
        }
    }
}
