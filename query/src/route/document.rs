//! What is said of the API, for programs and for people. Neither needs a key.

use std::sync::{Arc, LazyLock};

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use super::Path;
use crate::problem::Problem;

const DOCUMENT: &str = "/v1/openapi.json";
/// The page loads nothing but its own files, and asks nobody but this server.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
);

static PAGE: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // The validator is somebody else's server.
    let config = Config::from(DOCUMENT).validator_url("none").try_it_out_enabled(true);
    Arc::new(config.display_request_duration(true).persist_authorization(false))
});

/// The document, the page that shows it at `/v1/docs/`, and the way there from `/`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(document: OpenApi) -> Router<S> {
    let document = Arc::new(document);
    let to_page = || async { Redirect::to("/v1/docs/") };
    Router::new()
        .route(DOCUMENT, get(move || async { Json(document) }))
        .route("/v1/docs/", get(|| file("index.html".into())))
        .route("/v1/docs/{*file}", get(|Path(name): Path| file(name)))
        .route("/v1/docs", get(to_page))
        .route("/", get(to_page))
}

async fn file(name: String) -> Result<Response, Problem> {
    let found = utoipa_swagger_ui::serve(&name, PAGE.clone());
    let file = found.map_err(|error| Problem::internal(&error.to_string()))?.ok_or_else(|| {
        let detail = "the page has no such file: begin at /v1/docs/";
        Problem::not_found("unknown_path", detail)
    })?;
    let kind = HeaderValue::from_str(&file.content_type);
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)];
    Ok((headers, file.bytes.into_owned()).into_response())
}
