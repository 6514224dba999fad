//! What is said of the API (OpenAPI 3.1). It is made of what stands beside each route, and cannot name one that is not
//! there.
//!
//! * `refusals`: the answers that many routes share. `shape`, `row`: bodies that no struct of ours reads or writes.

pub(crate) mod refusals;
pub(crate) mod row;
pub(crate) mod shape;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::problem::Body;
use crate::push::answer::Verbose;
use row::Change;
use shape::ImportAnswer;

/// What is not beside a route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "CEBE",
        description = "Customer events in; customers, segments and rates out.\n\n\
            Every answer about data says what time it is true for (`complete_through`, `as_of` or `logical_time`). \
            Errors are `application/problem+json` (RFC 9457), whose `code` is stable. A path that does not exist is answered \
            with 404, and one that does not take the method with 405 and `Allow`; a head that is too large with 431, a path \
            that is too long with 414. Ids have 1 to 64 bytes in UTF-8. Where the installation has no key file, no key is \
            needed; otherwise a key with an account stands for that one, and `account_id` may be left out.",
    ),
    tags(
        (name = "push", description = "Events come in. Sending again under the same `idempotency_key` is always safe."),
        (name = "mixpanel", description = "What Mixpanel's official clients send, with only the host changed."),
        (name = "ask", description = "Customers, segments and rates, now or as of a time."),
        (name = "subscribe", description = "Changes, as they come."),
        (name = "define", description = "What is in force, and what a definition would change."),
        (name = "operate", description = "For those who run it. None of these needs a key."),
    ),
    servers((url = "/")),
    components(schemas(Body, Change, Verbose, ImportAnswer)),
    security(("key" = []), ("basic" = [])),
    modifiers(&Schemes),
)]
pub(crate) struct Document;

/// How a key is given.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut key = Http::new(HttpAuthScheme::Bearer);
        key.bearer_format = Some("KEY.SECRET".into());
        key.description = Some("As `cebe key new` prints it.".into());
        let mut basic = Http::new(HttpAuthScheme::Basic);
        let how = "The user is `KEY.SECRET`, or the user is the key and the password its secret.";
        basic.description = Some(how.into());
        let api_key = ApiKeyValue::with_description("api_key", "As Mixpanel's clients give it.");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(key));
        components.add_security_scheme("basic", SecurityScheme::Http(basic));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Query(api_key)));
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::{HeaderMap, Request, StatusCode, header};
    use clickhouse::Client;
    use serde_json::Value;
    use tower::ServiceExt;

    use crate::health::Health;
    use crate::{AppState, app};

    fn router() -> Router {
        app(AppState::new(Client::default(), Health::default(), None))
    }

    async fn ask(method: &str, path: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let (parts, body) = router().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 10 << 20).await.unwrap();
        (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
    }

    async fn document() -> Value {
        let (status, headers, body) = ask("GET", "/v1/openapi.json").await;
        assert_eq!(
            (status, &headers[header::CONTENT_TYPE]),
            (StatusCode::OK, &"application/json".parse().unwrap())
        );
        serde_json::from_str(&body).unwrap()
    }

    #[tokio::test]
    async fn the_document_and_the_router_name_the_same() {
        let document = document().await;
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() > 12);
        for (path, item) in paths {
            let real = path.replace(['{', '}'], "");
            for method in ["get", "post", "put", "patch", "delete", "options", "trace"] {
                let (status, headers, body) = ask(&method.to_uppercase(), &real).await;
                let is_there = item.get(method).is_some();
                assert_eq!(status != StatusCode::METHOD_NOT_ALLOWED, is_there, "{method} {path}");
                assert!(!body.contains("unknown_path"), "{path}");
                assert!(is_there || headers.contains_key(header::ALLOW), "{method} {path}");
            }
        }
    }

    #[test]
    fn no_route_is_outside_the_document() {
        assert!(!include_str!("../app.rs").contains(".route("), "use routes!");
    }

    #[tokio::test]
    async fn every_operation_says_what_it_is_and_how_it_refuses() {
        let document = document().await;
        let mut names = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = format!("{method} {path}");
                assert!(operation["summary"].is_string(), "{name}");
                assert!(names.insert(operation["operationId"].to_string()), "{name}: not its own");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    assert!(response["content"].is_object(), "{name}: {status}");
                }
                let is_open = operation["security"] == serde_json::json!([{}]);
                assert!(is_open || operation["responses"]["401"].is_object(), "{name}");
            }
        }
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
    }

    #[tokio::test]
    async fn the_page_is_whole_without_anybody_else() {
        let (status, headers, _) = ask("GET", "/").await;
        assert_eq!(
            (status, headers[header::LOCATION].to_str().unwrap()),
            (StatusCode::SEE_OTHER, "/v1/docs/")
        );
        let (status, _, page) = ask("GET", "/v1/docs/").await;
        assert!(status == StatusCode::OK && !page.contains("//"), "{page}");
        let files: Vec<&str> = page
            .split(['"', '\''])
            .filter_map(|text| {
                text.strip_prefix("./").or(Some(text).filter(|t| t.ends_with(".css")))
            })
            .collect();
        assert!(files.len() >= 4, "{page}");
        for file in files {
            let (status, ..) = ask("GET", &format!("/v1/docs/{file}")).await;
            assert_eq!(status, StatusCode::OK, "{file}");
        }
        let (_, _, settings) = ask("GET", "/v1/docs/swagger-initializer.js").await;
        assert!(settings.contains("/v1/openapi.json"), "{settings}");
        let (status, headers, _) = ask("GET", "/v1/docs/nothing").await;
        assert_eq!(
            (status, headers[header::CONTENT_TYPE].to_str().unwrap()),
            (StatusCode::NOT_FOUND, "application/problem+json")
        );
    }
}
