//! The body of a push: unpacked, and cut into events. Nothing here looks into an event.

use std::fmt;
use std::io::Read;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::problem::Problem;

/// The largest body, as it is sent and unpacked.
pub(crate) const PUSH_BYTES_MAX: usize = 10 << 20;
/// The most events in one request.
pub(crate) const PUSH_EVENTS_MAX: usize = 2_000;
/// The largest window of zstd that is unpacked, as a power of two: 8 MiB, which every encoder keeps to
/// unless it is told otherwise.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The events of a request, each as it was sent.
///
/// # Errors
/// 400: it cannot be unpacked, or is no JSON; 413: it is too large; 415: it is packed in another way.
pub(crate) async fn events(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Vec<Vec<u8>>, Problem> {
    let body = unpacked(headers, whole(body, PUSH_BYTES_MAX)?).await?;
    let is_lines = content_type(headers).is_some_and(|kind| kind.ends_with("ndjson"));
    cut(&body, is_lines)
}

/// The type of the body, without parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    text.split(';').next().map(str::trim)
}

/// A body that was read to its end.
pub(crate) fn whole(
    body: Result<Bytes, BytesRejection>,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(bytes_max),
        _ => Problem::new(
            StatusCode::BAD_REQUEST,
            "unreadable_body",
            "the body ended before its length: send it again",
        ),
    })
}

/// A body without its `Content-Encoding`.
pub(crate) async fn unpacked(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Problem> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(body) };
    let encoding = encoding.to_str().unwrap_or("?").trim().to_ascii_lowercase();
    // Ten megabytes take a while, in which others are to be answered.
    let unpacked = tokio::task::spawn_blocking(move || unpack(&encoding, body)).await;
    unpacked.map_err(|_| Problem::internal("unpacking failed"))?
}

fn unpack(encoding: &str, body: Bytes) -> Result<Bytes, Problem> {
    match encoding {
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" => read(flate2::read::MultiGzDecoder::new(&*body), "gzip"),
        "zstd" => {
            let unreadable = |_| unreadable("zstd");
            let mut decoder = zstd::Decoder::with_buffer(&*body).map_err(unreadable)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(unreadable)?;
            read(decoder, "zstd")
        }
        other => {
            let detail = format!("content-encoding {other} is not known: use gzip, zstd or none");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail))
        }
    }
}

/// A small body can unpack to any size: no more is unpacked than may be sent.
fn read(packed: impl Read, encoding: &str) -> Result<Bytes, Problem> {
    let mut body = Vec::new();
    let most = PUSH_BYTES_MAX as u64 + 1;
    packed.take(most).read_to_end(&mut body).map_err(|_| unreadable(encoding))?;
    if body.len() > PUSH_BYTES_MAX {
        return Err(too_large(PUSH_BYTES_MAX));
    }
    Ok(body.into())
}

/// A JSON array, one event, or a line each.
pub(crate) fn cut(body: &[u8], is_lines: bool) -> Result<Vec<Vec<u8>>, Problem> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let events = match first {
        None => Vec::new(),
        Some(b'[') if !is_lines => array(body)?,
        Some(_) if !is_lines && serde_json::from_slice::<&RawValue>(body).is_ok() => {
            vec![body.trim_ascii().to_vec()]
        }
        Some(_) => {
            let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            let lines = lines.filter(|line| !line.is_empty());
            lines.take(PUSH_EVENTS_MAX + 1).map(<[u8]>::to_vec).collect()
        }
    };
    if events.is_empty() {
        let detail = "there is no event in the body: send a JSON array, or a line of JSON for each";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "empty_body", detail));
    }
    if events.len() > PUSH_EVENTS_MAX {
        let detail = format!("more than {PUSH_EVENTS_MAX} events: split the batch");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_events", detail));
    }
    Ok(events)
}

fn array(body: &[u8]) -> Result<Vec<Vec<u8>>, Problem> {
    let Elements(elements) = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let detail =
            format!("the body is no JSON array (line {line}, column {column}): nothing was taken");
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
    })?;
    Ok(elements.into_iter().map(|element| element.get().as_bytes().to_vec()).collect())
}

/// The elements of an array, no more than one too many.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while elements.len() <= PUSH_EVENTS_MAX {
                    match array.next_element()? {
                        Some(element) => elements.push(element),
                        None => return Ok(Elements(elements)),
                    }
                }
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Take)
    }
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("the body has more than {bytes_max} bytes, unpacked: split it");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

fn unreadable(encoding: &str) -> Problem {
    let detail = format!("the body is no {encoding}, or was cut off: nothing was taken");
    Problem::new(StatusCode::BAD_REQUEST, "unreadable_body", detail)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::response::IntoResponse;

    use super::*;

    fn texts(body: &str, is_lines: bool) -> Vec<String> {
        let events = cut(body.as_bytes(), is_lines).unwrap();
        events.into_iter().map(|event| String::from_utf8(event).unwrap()).collect()
    }

    fn status<T: fmt::Debug>(result: Result<T, Problem>) -> u16 {
        result.unwrap_err().into_response().status().as_u16()
    }

    #[test]
    fn arrays_lines_and_single_events_are_cut() {
        assert_eq!(texts(r#" [{"a":1}, 7 ,"x"] "#, false), [r#"{"a":1}"#, "7", r#""x""#]);
        assert_eq!(texts("{\"a\":1}\n\n{\"b\n\t7", false), ["{\"a\":1}", "{\"b", "7"]);
        assert_eq!(texts("{\n  \"a\": 1\n}\n", false), ["{\n  \"a\": 1\n}"]);
        assert_eq!(texts("[1]\n[2]", true), ["[1]", "[2]"], "lines are lines");
    }

    #[test]
    fn what_cannot_be_cut_is_refused_whole() {
        assert_eq!(status(cut(b"", false)), 400);
        assert_eq!(status(cut(b" [] ", false)), 400);
        assert_eq!(status(cut(br#"[{"a":1},{"#, false)), 400);
        assert_eq!(status(cut(b"[1] x", false)), 400);
        let many = |count| format!("[{}1]", "1,".repeat(count - 1));
        assert_eq!(cut(many(PUSH_EVENTS_MAX).as_bytes(), false).unwrap().len(), PUSH_EVENTS_MAX);
        assert_eq!(status(cut(many(PUSH_EVENTS_MAX + 1).as_bytes(), false)), 413);
        assert_eq!(status(cut("1\n".repeat(PUSH_EVENTS_MAX + 1).as_bytes(), true)), 413);
        let deep = format!("[{}{}]", "[".repeat(200_000), "]".repeat(200_000));
        assert!(
            cut(deep.as_bytes(), false).is_ok_and(|events| events.len() == 1),
            "not looked into"
        );
    }

    fn packed(encoding: &str, body: &[u8]) -> Bytes {
        if encoding == "zstd" {
            return zstd::encode_all(body, 3).unwrap().into();
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(body).unwrap();
        gzip.finish().unwrap().into()
    }

    #[test]
    fn bodies_are_unpacked_and_bombs_are_not() {
        for encoding in ["gzip", "zstd"] {
            let body = packed(encoding, b"[1]");
            assert_eq!(&*unpack(encoding, body.clone()).unwrap(), b"[1]");
            assert_eq!(status(unpack(encoding, body.slice(..body.len() - 2))), 400, "cut off");
            assert_eq!(status(unpack(encoding, Bytes::from_static(b"[1]"))), 400, "not packed");
            let bomb = packed(encoding, &vec![b' '; PUSH_BYTES_MAX + 1]);
            assert!(bomb.len() < 200_000);
            assert_eq!(status(unpack(encoding, bomb)), 413);
        }
        assert_eq!(status(unpack("br", packed("gzip", b"[1]"))), 415);
    }
}
