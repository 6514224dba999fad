//! The newest answer to what the copy in memory holds.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::timeout;

use crate::problem::Problem;
use crate::replica::Copied;

/// How long ClickHouse is waited for where the copy knows something older.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the copy tells where it is fresh, and else what ClickHouse has loaded; where that comes to nothing in time, what the
/// copy knew last, and true.
///
/// # Errors
/// As of what is told.
pub(crate) async fn newest<T>(
    copied: Option<Copied<Result<T, Problem>>>,
    loaded: impl Future<Output = Result<T, Problem>>,
) -> Result<(T, bool), Problem> {
    let Some(copied) = copied else { return Ok((loaded.await?, false)) };
    if !copied.is_behind() {
        return Ok((copied.told?, false));
    }
    match timeout(PATIENCE, loaded).await {
        Ok(Ok(told)) => Ok((told, false)),
        Ok(Err(problem)) if problem.status() != StatusCode::SERVICE_UNAVAILABLE => Err(problem),
        _ => Ok((copied.told?, true)),
    }
}

#[cfg(test)]
mod tests {
    use cebe_schemas::time::Millis;

    use super::*;
    use crate::now_ms;

    fn copied(age_ms: Millis) -> Option<Copied<Result<&'static str, Problem>>> {
        Some(Copied { told: Ok("copied"), through_ms: now_ms() - age_ms })
    }

    #[tokio::test]
    async fn what_was_known_last_is_told_where_nothing_newer_comes() {
        let loaded = async || Ok("loaded");
        let away = async || Err(Problem::unavailable("away"));
        let wrong = async || Err(Problem::parameter("wrong"));
        assert_eq!(newest(copied(0), away()).await.unwrap(), ("copied", false));
        assert_eq!(newest(copied(31_000), loaded()).await.unwrap(), ("loaded", false));
        assert_eq!(newest(copied(31_000), away()).await.unwrap(), ("copied", true));
        assert_eq!(newest(copied(31_000), std::future::pending()).await.unwrap(), ("copied", true));
        let told: Result<(&str, bool), Problem> = newest(copied(31_000), wrong()).await;
        assert_eq!(told.unwrap_err().status(), StatusCode::BAD_REQUEST);
        assert_eq!(newest(None, loaded()).await.unwrap(), ("loaded", false));
        assert!(newest::<&str>(None, away()).await.is_err());
    }
}
