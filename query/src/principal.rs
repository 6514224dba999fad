//! Who asks: a key of the key file stands for an account, a team and what its bearer may do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::app::AppState;
use crate::problem::Problem;

/// Something that a key may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To publish events.
    Push,
    /// To ask for customers, segments, metrics and receipts.
    Query,
    /// To change definitions, flags and settings.
    Define,
    /// To follow changes.
    Subscribe,
}

/// Whoever a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// The name of its key.
    pub(crate) id: Arc<str>,
    /// The only account that it sees; none: all.
    #[serde(default)]
    pub(crate) account_id: Option<Arc<str>>,
    /// The team that it publishes for.
    #[serde(default)]
    pub(crate) team_id: Option<Arc<str>>,
    scopes: BTreeSet<Scope>,
    /// The only sources that it publishes for; none: all.
    #[serde(default)]
    sources: Option<BTreeSet<String>>,
}

/// The keys that are known.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(Option<Arc<BTreeMap<Arc<str>, Entry>>>);

#[derive(Debug)]
struct Entry {
    secret: blake3::Hash,
    principal: Principal,
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It is no TOML, or a field is wrong.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A hash is none.
    #[error("key {0}: secret_blake3 must be the 64 hex digits that `cebe key new` prints")]
    Hash(Arc<str>),
    /// A name stands there twice, or cannot be told from a secret.
    #[error("key {0}: give each key a name of its own, without a dot or a colon")]
    Name(Arc<str>),
}

/// Why there is no principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("a key is needed: give it as Authorization: Bearer KEY.SECRET")]
    Missing,
    #[error("the key is not known, or its secret is wrong")]
    Wrong,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    keys: Vec<FileEntry>,
}

#[derive(Deserialize)]
struct FileEntry {
    secret_blake3: String,
    #[serde(flatten)]
    rest: toml::Table,
}

impl Principal {
    /// Whoever asks an installation without a key file: may do everything.
    fn anybody() -> Principal {
        let scopes = [Scope::Push, Scope::Query, Scope::Define, Scope::Subscribe].into();
        Principal { id: "".into(), account_id: None, team_id: None, scopes, sources: None }
    }

    /// Whether there are no keys.
    pub(crate) fn is_anybody(&self) -> bool {
        self.id.is_empty()
    }

    /// # Errors
    /// 403: the key does not allow it.
    pub(crate) fn needs(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        let name = format!("{scope:?}").to_lowercase();
        let detail = format!("key {} has no scope {name}: use one that has", self.id);
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }

    /// Whether it sees the account.
    pub(crate) fn sees(&self, account_id: &str) -> bool {
        self.account_id.as_deref().is_none_or(|own| own == account_id)
    }

    /// Whether it publishes for the source.
    pub(crate) fn speaks_for(&self, source: &str) -> bool {
        self.sources.as_ref().is_none_or(|own| own.contains(source))
    }

    /// The account that a request is about: its own, or the one that is asked for.
    ///
    /// # Errors
    /// 400: neither is there; 403: it does not see that one.
    pub(crate) fn account(&self, asked: Option<String>) -> Result<String, Problem> {
        match (asked, &self.account_id) {
            (Some(asked), _) if self.sees(&asked) => Ok(asked),
            (Some(asked), _) => {
                let detail = format!("key {} does not see account {asked}", self.id);
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
            }
            (None, Some(own)) => Ok(own.to_string()),
            (None, None) => {
                let detail = "account_id is missing: give it as ?account_id=…";
                Err(Problem::new(StatusCode::BAD_REQUEST, "missing_parameter", detail))
            }
        }
    }
}

impl KeyRing {
    /// Reads a key file (TOML): `[[keys]]` with `id`, `secret_blake3`, `scopes`, and maybe `account_id`,
    /// `team_id`, `sources`.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn parse(text: &str) -> Result<KeyRing, KeyFileError> {
        let mut ring = BTreeMap::new();
        for entry in toml::from_str::<File>(text)?.keys {
            let principal: Principal = entry.rest.try_into()?;
            let id = principal.id.clone();
            let secret = blake3::Hash::from_hex(&entry.secret_blake3)
                .map_err(|_| KeyFileError::Hash(id.clone()))?;
            let is_name = !id.is_empty() && !id.contains(['.', ':']);
            if !is_name || ring.insert(id.clone(), Entry { secret, principal }).is_some() {
                return Err(KeyFileError::Name(id));
            }
        }
        Ok(KeyRing(Some(Arc::new(ring))))
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// The principal of a credential `KEY.SECRET`.
    pub(crate) fn find(&self, credential: Option<&str>) -> Result<Principal, Unknown> {
        let Some(ring) = &self.0 else { return Ok(Principal::anybody()) };
        let (id, secret) =
            credential.ok_or(Unknown::Missing)?.split_once('.').ok_or(Unknown::Wrong)?;
        let entry = ring.get(id).ok_or(Unknown::Wrong)?;
        // Comparing hashes takes the same time whatever they are.
        match entry.secret == blake3::hash(secret.as_bytes()) {
            true => Ok(entry.principal.clone()),
            false => Err(Unknown::Wrong),
        }
    }
}

/// The credential of `Authorization`: a bearer's, or the user (or user and password) of Basic.
pub(crate) fn credential(headers: &HeaderMap) -> Option<String> {
    let (scheme, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':').unwrap_or((&text, ""));
    Some(if password.is_empty() { user.to_owned() } else { format!("{user}.{password}") })
}

impl From<Unknown> for Problem {
    fn from(unknown: Unknown) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", unknown.to_string())
    }
}

impl FromRequestParts<AppState> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        Ok(state.keys.find(credential(&parts.headers).as_deref())?)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ring() -> KeyRing {
        let hash = blake3::hash(b"s3cret").to_hex();
        let text = format!(
            "[[keys]]\nid = \"cdp\"\nsecret_blake3 = \"{hash}\"\nscopes = [\"push\"]\n\
             account_id = \"a\"\nteam_id = \"t\"\nsources = [\"cdp\"]\n"
        );
        KeyRing::parse(&text).unwrap()
    }

    #[test]
    fn a_key_is_its_secret() {
        let principal = ring().find(Some("cdp.s3cret")).unwrap();
        assert!(principal.needs(Scope::Push).is_ok() && principal.needs(Scope::Query).is_err());
        assert!(principal.sees("a") && !principal.sees("b"));
        assert!(principal.speaks_for("cdp") && !principal.speaks_for("ads"));
        assert_eq!(principal.account(None).unwrap(), "a");
        assert!(principal.account(Some("b".into())).is_err());
        assert_eq!(ring().find(None), Err(Unknown::Missing));
        for wrong in ["cdp.other", "cdp", "cdp.", ".s3cret", "ads.s3cret", "cdp.s3cret."] {
            assert_eq!(ring().find(Some(wrong)), Err(Unknown::Wrong), "{wrong}");
        }
    }

    #[test]
    fn without_a_file_everybody_may_do_everything() {
        let anybody = KeyRing::default().find(None).unwrap();
        assert!(anybody.needs(Scope::Define).is_ok() && anybody.sees("a"));
        assert!(anybody.account(None).is_err(), "which account is not known");
    }

    #[test]
    fn an_empty_file_lets_nobody_in() {
        assert_eq!(KeyRing::parse("").unwrap().find(Some("a.b")), Err(Unknown::Wrong));
    }

    #[test]
    fn credentials_come_in_three_ways() {
        let given = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(text).unwrap());
            credential(&headers)
        };
        let basic = |text: &str| given(&format!("Basic {}", STANDARD.encode(text)));
        assert_eq!(given("Bearer cdp.s3cret").as_deref(), Some("cdp.s3cret"));
        assert_eq!(basic("cdp.s3cret:").as_deref(), Some("cdp.s3cret"));
        assert_eq!(basic("cdp:s3cret").as_deref(), Some("cdp.s3cret"));
        assert_eq!(given("Digest x"), None);
        assert_eq!(given("Basic !"), None);
    }

    #[test]
    fn a_wrong_file_says_what_is_wrong() {
        let hash = blake3::hash(b"").to_hex();
        let entry = |id: &str, hash: &str, more: &str| {
            format!("[[keys]]\nid = \"{id}\"\nsecret_blake3 = \"{hash}\"\n{more}\n")
        };
        let scopes = "scopes = [\"push\"]";
        let twice = entry("a", &hash, scopes).repeat(2);
        for (text, says) in [
            (entry("a", "12", scopes), "secret_blake3"),
            (entry("a.b", &hash, scopes), "a.b"),
            (twice, "key a"),
            (entry("a", &hash, "scopes = [\"dance\"]"), "dance"),
            (entry("a", &hash, &format!("{scopes}\nacount = \"x\"")), "acount"),
            (entry("a", &hash, ""), "scopes"),
        ] {
            let error = KeyRing::parse(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
