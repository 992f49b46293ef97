//! What a client of the one-way transports sends: `xhr_send`, `jsonp_send`.

use std::borrow::Cow;

use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::http::{HeaderMap, StatusCode};

use crate::frame::{self, FrameError};
use crate::reply::{self, Reply};

/// How the body of a sending request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As JSON, whatever its content type says.
    Xhr,
    /// As the field `d` of an HTML form, or as JSON in plain text.
    Jsonp,
}

impl Form {
    pub(crate) fn decode(self, headers: &HeaderMap, body: &[u8]) -> Result<Vec<String>, FrameError> {
        if self == Self::Xhr {
            return frame::decode(body);
        }
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        match content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii() {
            b"application/x-www-form-urlencoded" => {
                let field = form_urlencoded::parse(body).find(|(name, _)| name == "d");
                frame::decode(field.map_or(Cow::Borrowed(""), |(_, value)| value).as_bytes())
            }
            b"text/plain" | b"" => frame::decode(body),
            _ => Err(FrameError::Payload),
        }
    }

    /// The messages were taken.
    pub(crate) fn accepted(self) -> Reply {
        match self {
            // Some browsers look at the type even so.
            Self::Xhr => reply::with(StatusCode::NO_CONTENT, reply::PLAIN, ""),
            // Some do strange things without a body.
            Self::Jsonp => reply::with(StatusCode::OK, reply::PLAIN, "ok"),
        }
    }
}
