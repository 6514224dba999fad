//! `cebe key new`: a key for the API, as an entry of the key file and as its secret.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use serde::Serialize;

/// Random bytes of a secret.
const SECRET_BYTES: usize = 24;

#[derive(Subcommand)]
pub enum Key {
    /// Make a key: its entry goes to the key file (`http.keys_file`), its secret to whoever uses it.
    #[command(after_help = EXAMPLES)]
    New(New),
}

const EXAMPLES: &str = "Examples:
  cebe key new crm --account acc-17 --scope push --source cdp >> keys.toml
  cebe key new bi --scope query --scope subscribe >> keys.toml

The secret is printed on standard error, once: nobody can read it from the key file.";

#[derive(clap::Args)]
pub struct New {
    /// The name of the key.
    name: String,
    /// The only account that it sees; without, all.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// The team that it publishes for, where an event names none.
    #[arg(long, value_name = "ID")]
    team: Option<String>,
    /// What its bearer may do; several times.
    #[arg(long, required = true, value_enum)]
    scope: Vec<ScopeName>,
    /// The only sources that it publishes for; several times; without, all.
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum ScopeName {
    Push,
    Query,
    Define,
    Subscribe,
}

#[derive(Serialize)]
struct File<'a> {
    keys: [Entry<'a>; 1],
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    secret_blake3: String,
    scopes: &'a [ScopeName],
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    sources: &'a [String],
}

pub fn run(key: &Key) -> anyhow::Result<ExitCode> {
    let Key::New(new) = key;
    let secret = secret()?;
    let entry = entry(new, &secret)?;
    print!("{entry}");
    eprintln!("Authorization: Bearer {}.{secret}", new.name);
    Ok(ExitCode::SUCCESS)
}

fn entry(new: &New, secret: &str) -> anyhow::Result<String> {
    let entry = Entry {
        id: &new.name,
        secret_blake3: blake3::hash(secret.as_bytes()).to_hex().to_string(),
        scopes: &new.scope,
        account_id: new.account.as_deref(),
        team_id: new.team.as_deref(),
        sources: &new.source,
    };
    let text = toml::to_string(&File { keys: [entry] })?;
    // A name that cannot be one is said now, and not by the server.
    cebe_query::principal::KeyRing::parse(&text)?;
    Ok(format!("{text}\n"))
}

/// From the system's random numbers.
fn secret() -> anyhow::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_of_the_key_file() {
        let new = |name: &str| New {
            name: name.into(),
            account: Some("a".into()),
            team: None,
            scope: vec![ScopeName::Push, ScopeName::Query],
            source: vec!["cdp".into()],
        };
        let text = entry(&new("crm"), "s").unwrap();
        assert!(
            text.starts_with("[[keys]]\nid = \"crm\"\n") && !text.contains("team_id"),
            "{text}"
        );
        let twice = entry(&new("bi"), "s").unwrap() + &text;
        assert!(
            cebe_query::principal::KeyRing::parse(&twice).is_ok(),
            "entries go after one another"
        );
        assert!(entry(&new("a.b"), "s").is_err());
        assert_ne!(secret().unwrap(), secret().unwrap());
    }
}
