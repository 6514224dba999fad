//! Pages of an answer that stays the same while it is read: each is of one logical time.

use std::ops::Bound;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cebe_schemas::time::{Millis, format_rfc3339, parse_rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::app::AppState;
use crate::newest::newest;
use crate::problem::Problem;
use crate::replica::Held;
use crate::sql;

/// Rows on a page, unless asked for more or fewer.
const LIMIT: u32 = 1_000;
const LIMIT_MAX: u32 = 10_000;
/// How long a time that is over is waited for until it is loaded, and how often ClickHouse is asked how far it is.
const LOADING_PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);

/// How a request asks for a page.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    /// RFC 3339.
    pub(crate) as_of: Option<String>,
    pub(crate) limit: Option<u32>,
    /// As the page before has it.
    pub(crate) cursor: Option<String>,
}

/// What that amounts to.
pub(crate) struct Wanted {
    as_of_ms: Option<Millis>,
    behind: String,
    limit: u32,
}

impl Asked {
    /// # Errors
    /// 400: names what is wrong.
    pub(crate) fn read(&self) -> Result<Wanted, Problem> {
        let limit = self.limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::parameter(format!("limit is {limit}: give 1 to {LIMIT_MAX}")));
        }
        let (as_of_ms, behind) = match (&self.cursor, &self.as_of) {
            (Some(cursor), _) => {
                let Cursor { t, b } = read(cursor).ok_or_else(|| {
                    Problem::parameter("cursor is none: give it as the page before has it")
                })?;
                (Some(t), b)
            }
            (None, Some(text)) => (Some(time(text)?), String::new()),
            (None, None) => (None, String::new()),
        };
        Ok(Wanted { as_of_ms, behind, limit })
    }
}

impl Wanted {
    /// The page; the first one is of the newest time that everything is known through.
    pub(crate) fn page(&self, complete_through_ms: Millis) -> Page {
        let as_of_ms = self.as_of_ms.unwrap_or(complete_through_ms);
        Page { as_of_ms, behind: self.behind.clone(), limit: self.limit, complete_through_ms }
    }
}

/// A page: of which time, behind which row, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) as_of_ms: Millis,
    pub(crate) behind: String,
    pub(crate) limit: u32,
    /// How far everything is loaded.
    pub(crate) complete_through_ms: Millis,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    t: Millis,
    b: String,
}

const THROUGH: &str = "SELECT count() AS views, min(complete_through) AS through FROM frontier";

impl Page {
    /// The keys that may be on it.
    pub(crate) fn ahead(&self) -> (Bound<&str>, Bound<&str>) {
        let behind = match &*self.behind {
            // An empty key is behind nothing.
            "" => Bound::Unbounded,
            behind => Bound::Excluded(behind),
        };
        (behind, Bound::Unbounded)
    }

    /// The cursor of the page that follows, if there may be one: behind the last row of a full page.
    pub(crate) fn next(&self, rows: &[Value], key: &str) -> Option<String> {
        let last = rows.last().filter(|_| rows.len() as u64 >= u64::from(self.limit))?;
        let cursor = Cursor { t: self.as_of_ms, b: last[key].as_str()?.to_owned() };
        Some(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).ok()?))
    }
}

/// A page, and what is on it.
pub(crate) struct Filled {
    pub(crate) page: Page,
    pub(crate) rows: Vec<Value>,
    /// There was no new answer in time.
    pub(crate) is_last_known: bool,
}

/// The page that is asked for: `held` says what the copy in memory has for it, if it does, `load` what ClickHouse has.
///
/// # Errors
/// 400: a parameter is wrong, or the time is not over yet; 503.
pub(crate) async fn filled(
    state: &AppState,
    asked: Asked,
    held: impl FnOnce(&Held, &Page) -> Option<Vec<Value>>,
    load: impl AsyncFnOnce(&Page) -> Result<Vec<Value>, Problem>,
) -> Result<Filled, Problem> {
    let wanted = asked.read()?;
    let copied = state.replica().page(&wanted, held).map(|copied| copied.map(|told, _| Ok(told)));
    let loaded = async {
        let page = wanted.page(complete(state, wanted.as_of_ms).await?);
        let rows = load(&page).await?;
        Ok((page, rows))
    };
    let ((page, rows), is_last_known) = newest(copied, loaded).await?;
    Ok(Filled { page, rows, is_last_known })
}

/// A time by which everything is loaded.
///
/// # Errors
/// 400: it is none, or is not over yet; 503.
pub(crate) async fn past(state: &AppState, as_of: &str) -> Result<Millis, Problem> {
    let as_of_ms = time(as_of)?;
    complete(state, Some(as_of_ms)).await?;
    Ok(as_of_ms)
}

fn time(as_of: &str) -> Result<Millis, Problem> {
    parse_rfc3339(as_of).ok_or_else(|| Problem::parameter("as_of is no RFC 3339 time with offset"))
}

/// The time that everything is loaded through, which is not before `as_of_ms`. That is waited for, for a while, where the
/// time is over: a customer is answered before ClickHouse has loaded what is known of it.
async fn complete(state: &AppState, as_of_ms: Option<Millis>) -> Result<Millis, Problem> {
    let begin = Instant::now();
    let complete_through_ms = loop {
        let complete_through_ms = through(state).await?;
        let is_complete = as_of_ms.is_none_or(|as_of_ms| as_of_ms <= complete_through_ms);
        if is_complete {
            return Ok(complete_through_ms);
        }
        let is_over = as_of_ms <= state.replica().through_ms();
        if !is_over || begin.elapsed() > LOADING_PATIENCE {
            break complete_through_ms;
        }
        sleep(LOOK).await;
    };
    let through = format_rfc3339(complete_through_ms);
    let detail = format!("as_of is not complete yet: everything is loaded through {through}");
    Err(Problem::parameter(detail).at(through.into()))
}

fn read(cursor: &str) -> Option<Cursor> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

/// How far everything is loaded, and when that was asked. It only grows: what is true for a moment ago is true.
pub(crate) type Loaded = Mutex<Option<(Instant, Millis)>>;

/// The time that everything is loaded through. All who ask within a moment are told the same.
///
/// # Errors
/// 503: nothing is, or ClickHouse does not answer.
pub(crate) async fn through(state: &AppState) -> Result<Millis, Problem> {
    let mut loaded = state.loaded.lock().await;
    if let Some((asked, through_ms)) = *loaded
        && asked.elapsed() < LOOK
    {
        return Ok(through_ms);
    }
    let asked = Instant::now();
    let row = sql::one(state, THROUGH, |query| query).await?;
    let through = row["through"].as_str().and_then(parse_rfc3339);
    let through_ms = through.filter(|_| row["views"] != 0).ok_or_else(|| {
        Problem::unavailable("nothing is loaded yet: come again in a moment").retry_after(1)
    })?;
    *loaded = Some((asked, through_ms));
    Ok(through_ms)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_full_page_says_where_the_next_one_begins() {
        let page = Page { as_of_ms: 7, behind: String::new(), limit: 2, complete_through_ms: 9 };
        let rows = [json!({"id": "a"}), json!({"id": "é\""})];
        let cursor = read(&page.next(&rows, "id").unwrap()).unwrap();
        assert_eq!((cursor.t, &*cursor.b), (7, "é\""));
        assert_eq!(page.next(&rows[..1], "id"), None);
        assert!(read("x").is_none() && read("e30").is_none());
    }
}
