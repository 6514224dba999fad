//! Refusals and other answers that many routes share.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use crate::problem;

const LATE: &str = "The body did not come to its end within 30 s: send it again";
const UNKNOWN_KEY: &str = "No key, or a wrong one";
const TOO_MUCH: &str = "More than 2,000 events, or more than 10 MiB, unpacked: split the batch";
const ODDLY_PACKED: &str = "Packed in another way than gzip or zstd";
const TOO_OFTEN: &str = "The account pushes too much: wait, and send all again";
const UNPUBLISHED: &str =
    "Kafka does not acknowledge the events: send all again, under the same keys";
const DEFECT: &str = "A defect: the log of the server says more";

type Responses = BTreeMap<String, RefOr<Response>>;

/// Of routes that answer from data.
pub(crate) struct Asking;

/// Of routes that take events. What is wrong with the events themselves each of them tells in its own way.
pub(crate) struct Pushing;

/// What is asked about is not there.
pub(crate) struct Unknown;

/// An identifier of several persons.
pub(crate) struct Ambiguous;

/// Of what puts definitions in force, and how it went.
pub(crate) struct Defining;

/// A receipt of long ago.
pub(crate) struct Expired;

/// Of previews.
pub(crate) struct Previewing;

impl IntoResponses for Unknown {
    fn responses() -> Responses {
        problems(&[(404, "The account has none of that name; or it is erased")])
    }
}

impl IntoResponses for Ambiguous {
    fn responses() -> Responses {
        problems(&[(
            409,
            "Several persons hold it: together they would have more members than may be",
        )])
    }
}

impl IntoResponses for Defining {
    fn responses() -> Responses {
        let mut responses = problems(&[
            (400, "The path, a parameter or the definition is wrong; `detail` names the field"),
            (401, UNKNOWN_KEY),
            (403, "The key may not define, or does not see the account"),
            (413, "More than 1 MiB"),
            (503, "Kafka does not acknowledge it, or this process runs no engine: send it again"),
        ]);
        let told = |(status, description): (u16, &str)| {
            let content = Content::new(Some(Ref::from_schema_name("Change")));
            let response = ResponseBuilder::new().description(description);
            let response = response.content("application/json", content);
            (status.to_string(), RefOr::T(response.build()))
        };
        let answers = [
            (200, "It is in force"),
            (202, "It will be, without your doing"),
            (409, "Something else was put in force meanwhile"),
        ];
        responses.extend(answers.map(told));
        responses
    }
}

impl IntoResponses for Expired {
    fn responses() -> Responses {
        problems(&[(410, "It is too long ago: look into the views `events` and `rejected_events`")])
    }
}

impl IntoResponses for Previewing {
    fn responses() -> Responses {
        problems(&[
            (409, "It looks at a property that no definition has looked at yet"),
            (413, "More than 1 MiB"),
        ])
    }
}

impl IntoResponses for Asking {
    fn responses() -> Responses {
        problems(&[
            (400, "A parameter is missing or wrong; `detail` names it"),
            (401, UNKNOWN_KEY),
            (403, "The key does not allow it, or does not see the account"),
            (503, "ClickHouse or the engine does not answer now: try again in a moment"),
        ])
    }
}

impl IntoResponses for Pushing {
    fn responses() -> Responses {
        problems(&[
            (401, UNKNOWN_KEY),
            (403, "The key may not push"),
            (408, LATE),
            (413, TOO_MUCH),
            (415, ODDLY_PACKED),
            (429, TOO_OFTEN),
            (500, DEFECT),
            (503, UNPUBLISHED),
        ])
    }
}

/// Of `/track`, which answers everything as Mixpanel does.
pub(crate) struct Tracked;

/// Of `/import`, which does so too, in another way.
pub(crate) struct Imported;

impl IntoResponses for Tracked {
    fn responses() -> Responses {
        mixpanel("Verbose")
    }
}

impl IntoResponses for Imported {
    fn responses() -> Responses {
        mixpanel("ImportAnswer")
    }
}

fn mixpanel(schema: &str) -> Responses {
    let told = |(status, description): (u16, &str)| {
        let flag = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["1", "0"]));
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", Content::new(Some(Ref::from_schema_name(schema))))
            .content("text/plain", Content::new(Some(flag.build())));
        (status.to_string(), RefOr::T(response.build()))
    };
    let mut responses = problems(&[(408, LATE)]);
    responses.extend(
        [
            (200, "All are taken"),
            (400, "Some are refused, the others are taken; or nothing can be read"),
            (401, UNKNOWN_KEY),
            (403, "The key may not push"),
            (413, TOO_MUCH),
            (415, ODDLY_PACKED),
            (429, TOO_OFTEN),
            (500, DEFECT),
            (503, UNPUBLISHED),
        ]
        .map(told),
    );
    responses
}

fn problems(refusals: &[(u16, &str)]) -> Responses {
    let one = |(status, description): &(u16, &str)| {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new().description(*description);
        let response = response.content(problem::MEDIA_TYPE, content);
        let response = match status {
            401 => header(response, "WWW-Authenticate", Type::String, "`Bearer`"),
            429 => header(response, "Retry-After", Type::Integer, "Seconds to wait"),
            _ => response,
        };
        (status.to_string(), RefOr::T(response.build()))
    };
    refusals.iter().map(one).collect()
}

fn header(response: ResponseBuilder, name: &str, kind: Type, what: &str) -> ResponseBuilder {
    let schema = ObjectBuilder::new().schema_type(kind);
    response.header(name, HeaderBuilder::new().schema(Some(schema)).description(Some(what)).build())
}
