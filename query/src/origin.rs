//! Pages of other origins that may call the API from a browser (the Fetch standard's CORS).

use std::time::Duration;

use axum::Router;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was told.
const REMEMBERED: Duration = Duration::from_secs(3_600);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What is no origin.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no origin: give it as https://app.example.com, without a path, or * for every one")]
pub struct NoOrigin(String);

/// Lets pages of `origins`, separated by commas, call `router` and read its answers: `*` for those of every origin, nothing
/// for none. Keys are sent as a header by whoever has one; cookies are none.
///
/// # Errors
/// One of them is no origin.
pub fn allow(router: Router, origins: &str) -> Result<Router, NoOrigin> {
    let origins: Vec<&str> =
        origins.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
    if origins.is_empty() {
        return Ok(router);
    }
    let allowed = match &origins[..] {
        ["*"] => AllowOrigin::any(),
        several => {
            AllowOrigin::list(several.iter().map(|one| read(one)).collect::<Result<Vec<_>, _>>()?)
        }
    };
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, LAST_EVENT_ID])
        .expose_headers([RETRY_AFTER])
        .max_age(REMEMBERED);
    Ok(router.layer(cors))
}

fn read(origin: &str) -> Result<HeaderValue, NoOrigin> {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ']));
    let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin);
    value.ok_or_else(|| NoOrigin(origin.to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, Response, header};
    use tower::ServiceExt;

    use super::*;
    use crate::problem::Problem;

    async fn ask(origins: &str, request: Request<Body>) -> Response<Body> {
        let refuse = async || Problem::parameter("wrong");
        let router = Router::new().route("/track", axum::routing::post(refuse));
        allow(router, origins).unwrap().oneshot(request).await.unwrap()
    }

    async fn allowed(origins: &str, method: Method, origin: &str) -> Option<HeaderValue> {
        let request = Request::builder().method(method).uri("/track").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let answer = ask(origins, request.body(Body::empty()).unwrap()).await;
        answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned()
    }

    #[tokio::test]
    async fn pages_of_origins_that_are_named_may_call() {
        let two = "https://a.example, http://localhost:3000";
        for method in [Method::OPTIONS, Method::POST] {
            for origin in ["https://a.example", "http://localhost:3000"] {
                assert_eq!(allowed(two, method.clone(), origin).await.unwrap(), origin);
            }
            for other in ["https://b.example", "https://a.example:8443", "http://a.example"] {
                assert_eq!(allowed(two, method.clone(), other).await, None, "{other}");
                assert_eq!(allowed("*", method.clone(), other).await.unwrap(), "*");
                assert_eq!(allowed("", method.clone(), other).await, None);
            }
        }
    }

    #[test]
    fn what_is_no_origin_is_named() {
        for wrong in
            ["a.example", "https://a.example/", "https://*.example", "*,https://a", "https://"]
        {
            assert!(allow(Router::new(), wrong).is_err(), "{wrong}");
        }
    }
}
