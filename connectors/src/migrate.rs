//! Brings a ClickHouse database to the state that the migrations in `schemas/clickhouse/` describe.
//!
//! Migrations are numbered files, applied in order and recorded with a checksum in
//! `schema_migrations`. Every statement in them can be repeated, so that a migration that was cut
//! short, or is applied by two processes at once, is simply applied again.

use clickhouse::Client;

/// One file of `schemas/clickhouse/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The number that its file name begins with.
    pub version: u32,
    /// Its file name.
    pub name: &'static str,
    /// Its statements, each ended by a semicolon.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal)*) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../schemas/clickhouse/", $name)),
        }),*]
    };
}

/// Every migration, in order.
pub const MIGRATIONS: &[Migration] = migrations! {
    1 "0001_frontier.sql"
    2 "0002_events.sql"
    3 "0003_identities.sql"
    4 "0004_segments.sql"
    5 "0005_metrics.sql"
    6 "0006_rejected.sql"
    7 "0007_ledger.sql"
    8 "0008_propagation.sql"
    9 "0009_customers.sql"
    10 "0010_quarantine.sql"
    11 "0011_definitions.sql"
    12 "0012_skipped.sql"
    13 "0013_erasures.sql"
    14 "0014_reconciliation.sql"
    15 "0015_emptied_events.sql"
    16 "0016_event_facts.sql"
    17 "0017_backfills.sql"
    18 "0018_resolved_events.sql"
};

/// What [`migrate`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names of the migrations that it applied.
    pub applied: Vec<&'static str>,
    /// How many had been applied before.
    pub unchanged: usize,
    /// Versions that a newer program has applied. They do no harm: migrations only add.
    pub newer: Vec<u32>,
}

/// Why the database is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// An applied migration is not the one of that number in this program.
    #[error(
        "migration {name} was changed after it had been applied (its checksum is {actual}, the \
         database has {recorded}): restore the file and write a new migration"
    )]
    Changed {
        /// Its file name.
        name: &'static str,
        /// The checksum of the file.
        actual: String,
        /// The checksum of what was applied.
        recorded: String,
    },
    /// A statement failed.
    #[error("migration {name}, statement {statement}: {source}")]
    Statement {
        /// Its file name.
        name: &'static str,
        /// The number of the statement in it, from 1.
        statement: usize,
        /// The answer of the server, or why there is none.
        source: clickhouse::error::Error,
    },
    /// The record of applied migrations could not be read or written.
    #[error("database {database}, table schema_migrations: {source}")]
    Record {
        /// The database.
        database: String,
        /// The answer of the server, or why there is none.
        source: clickhouse::error::Error,
    },
}

impl MigrateError {
    /// Whether trying again is pointless.
    pub fn is_permanent(&self) -> bool {
        matches!(self, MigrateError::Changed { .. })
    }
}

/// Creates `database` if there is none and applies what has not been applied to it.
///
/// # Errors
/// If the server does not answer or refuses a statement, or if a migration was changed after it
/// had been applied. Whatever the error, running it again is safe.
pub async fn migrate(client: &Client, database: &str) -> Result<Report, MigrateError> {
    // `system` is the one database that every server has.
    let outside = client.clone().with_database("system");
    let inside = client.clone().with_database(database);
    let record = |source| MigrateError::Record { database: database.into(), source };

    let create = format!("CREATE DATABASE IF NOT EXISTS {}", quoted(database));
    outside.query_raw(&create).execute().await.map_err(record)?;
    inside.query_raw(CREATE_RECORD).execute().await.map_err(record)?;
    let recorded: Vec<(u32, String)> =
        inside.query_raw(READ_RECORD).fetch_all().await.map_err(record)?;

    let plan = plan(MIGRATIONS, &recorded)?;
    let mut report = Report {
        applied: Vec::new(),
        unchanged: MIGRATIONS.len() - plan.len(),
        newer: newer(MIGRATIONS, &recorded),
    };
    for migration in plan {
        apply(&inside, migration).await?;
        let insert = format!(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES ({}, '{}', '{}')",
            migration.version,
            migration.name,
            checksum(migration.sql)
        );
        inside
            .query_raw(&insert)
            .with_setting("async_insert", "0")
            .execute()
            .await
            .map_err(record)?;
        report.applied.push(migration.name);
    }
    Ok(report)
}

const CREATE_RECORD: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version UInt32 COMMENT 'The number that the file name begins with',
    name String COMMENT 'The file name, in schemas/clickhouse/',
    checksum String COMMENT 'BLAKE3 of the file',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When'
) ENGINE = ReplacingMergeTree ORDER BY (version, checksum)
COMMENT 'Which migrations have been applied to this database.'";

const READ_RECORD: &str = "SELECT version, checksum FROM schema_migrations FINAL ORDER BY version";

async fn apply(client: &Client, migration: &Migration) -> Result<(), MigrateError> {
    for (index, statement) in statements(migration.sql).into_iter().enumerate() {
        client.query_raw(statement).execute().await.map_err(|source| MigrateError::Statement {
            name: migration.name,
            statement: index + 1,
            source,
        })?;
    }
    Ok(())
}

/// The migrations that are not in the record.
fn plan<'a>(
    migrations: &'a [Migration],
    recorded: &[(u32, String)],
) -> Result<Vec<&'a Migration>, MigrateError> {
    let mut plan = Vec::new();
    for migration in migrations {
        let actual = checksum(migration.sql);
        let mut applied = recorded.iter().filter(|(version, _)| *version == migration.version);
        let mut known = false;
        if let Some((_, recorded)) = applied.find(|(_, checksum)| {
            known = true;
            *checksum != actual
        }) {
            let recorded = recorded.clone();
            return Err(MigrateError::Changed { name: migration.name, actual, recorded });
        }
        if !known {
            plan.push(migration);
        }
    }
    Ok(plan)
}

fn newer(migrations: &[Migration], recorded: &[(u32, String)]) -> Vec<u32> {
    let own = |version: &u32| migrations.iter().any(|m| m.version == *version);
    recorded.iter().map(|(version, _)| *version).filter(|version| !own(version)).collect()
}

fn checksum(sql: &str) -> String {
    blake3::hash(sql.as_bytes()).to_hex()[..32].to_owned()
}

fn quoted(identifier: &str) -> String {
    format!("`{}`", identifier.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Cuts a file at the semicolons that stand outside of strings and comments.
fn statements(sql: &str) -> Vec<&str> {
    let bytes = sql.as_bytes();
    let mut statements = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        at = match bytes[at] {
            b'\'' => end_of_string(bytes, at),
            b'-' if bytes.get(at + 1) == Some(&b'-') => end_of_line(bytes, at),
            b';' => {
                statements.push(sql[start..at].trim());
                start = at + 1;
                start
            }
            _ => at + 1,
        };
    }
    statements.push(sql[start..].trim());
    statements.retain(|statement| !is_comment(statement));
    statements
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while at < bytes.len() && bytes[at] != b'\'' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn is_comment(statement: &str) -> bool {
    statement.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with("--"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FIRST: Migration = Migration { version: 1, name: "0001_a.sql", sql: "SELECT 1;" };
    const SECOND: Migration = Migration { version: 2, name: "0002_b.sql", sql: "SELECT 2;" };

    fn recorded(migrations: &[Migration]) -> Vec<(u32, String)> {
        migrations.iter().map(|m| (m.version, checksum(m.sql))).collect()
    }

    #[test]
    fn every_file_is_embedded_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/clickhouse");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let embedded: Vec<&str> = MIGRATIONS.iter().map(|m| m.name).collect();
        assert_eq!(embedded, files.iter().map(String::as_str).collect::<Vec<_>>());
        for migration in MIGRATIONS {
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
        }
    }

    #[test]
    fn only_what_is_not_recorded_is_applied() {
        let both = [FIRST, SECOND];
        assert_eq!(plan(&both, &[]).unwrap(), [&FIRST, &SECOND]);
        assert_eq!(plan(&both, &recorded(&[FIRST])).unwrap(), [&SECOND]);
        assert!(plan(&both, &recorded(&both)).unwrap().is_empty());
    }

    #[test]
    fn changed_migration_is_an_error() {
        let edited = Migration { sql: "SELECT 3;", ..FIRST };
        let error = plan(&[edited], &recorded(&[FIRST])).unwrap_err();
        assert!(error.is_permanent());
        assert!(error.to_string().starts_with("migration 0001_a.sql was changed"), "{error}");
        // Two programs that differ have each recorded theirs: one of them is wrong.
        let both = [recorded(&[FIRST]), recorded(&[edited])].concat();
        assert!(plan(&[FIRST], &both).is_err());
    }

    #[test]
    fn older_program_leaves_newer_migrations_alone() {
        let both = recorded(&[FIRST, SECOND]);
        assert!(plan(&[FIRST], &both).unwrap().is_empty());
        assert_eq!(newer(&[FIRST], &both), [2]);
    }

    #[test]
    fn statements_are_cut_outside_of_strings_and_comments() {
        let check = |sql, expect: &[&str]| assert_eq!(statements(sql), expect, "{sql}");
        check("", &[]);
        check("A;\nB;\n", &["A", "B"]);
        check("A; B", &["A", "B"]);
        check("A 'x;y' B;", &["A 'x;y' B"]);
        check("A 'it\\'s; -- no' B;C", &["A 'it\\'s; -- no' B", "C"]);
        check("-- only; this\n", &[]);
        check("-- first; it's\nA;B", &["-- first; it's\nA", "B"]);
        check("A 'open", &["A 'open"]);
        check("A 'open\\", &["A 'open\\"]);
    }
}
