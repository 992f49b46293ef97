//! Paths below the base URL.

/// Longest session id, in bytes; clients make 8 characters or a UUID.
const ID_MAX: usize = 128;

/// What a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Greeting,
    Info,
    Iframe,
    RawWebSocket,
    /// Something about the session with this id. The server's id before it is for load balancers only.
    Session(&'a str, Door),
}

/// The last part of a session's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    WebSocket,
    Xhr,
    XhrStreaming,
    XhrSend,
    EventSource,
    HtmlFile,
    Jsonp,
    JsonpSend,
}

impl<'a> Route<'a> {
    /// Parses a path without its first slash.
    pub(crate) fn parse(path: &'a str) -> Option<Self> {
        let mut segments = path.split('/');
        let route = match (segments.next()?, segments.next(), segments.next()) {
            ("", None, None) => Self::Greeting,
            ("info", None, None) => Self::Info,
            ("websocket", None, None) => Self::RawWebSocket,
            (page, None, None) if is_iframe(page) => Self::Iframe,
            (server, Some(id), Some(door)) if is_id(server) && is_id(id) => {
                Self::Session(id, Door::parse(door)?)
            }
            _ => return None,
        };
        segments.next().is_none().then_some(route)
    }

    /// The methods that it answers.
    pub(crate) fn allowed(&self) -> &'static str {
        match self {
            Self::Greeting | Self::Iframe => "GET, HEAD",
            Self::Info => "OPTIONS, GET",
            Self::RawWebSocket => "GET",
            Self::Session(_, door) => match door {
                Door::WebSocket | Door::EventSource | Door::HtmlFile | Door::Jsonp => "GET",
                Door::Xhr | Door::XhrStreaming | Door::XhrSend => "OPTIONS, POST",
                Door::JsonpSend => "POST",
            },
        }
    }
}

impl Door {
    fn parse(segment: &str) -> Option<Self> {
        Some(match segment {
            "websocket" => Self::WebSocket,
            "xhr" => Self::Xhr,
            "xhr_streaming" => Self::XhrStreaming,
            "xhr_send" => Self::XhrSend,
            "eventsource" => Self::EventSource,
            "htmlfile" => Self::HtmlFile,
            "jsonp" => Self::Jsonp,
            "jsonp_send" => Self::JsonpSend,
            _ => return None,
        })
    }
}

fn is_id(segment: &str) -> bool {
    (1..=ID_MAX).contains(&segment.len()) && !segment.contains('.')
}

/// `iframe.html`, and versions of it such as `iframe-1.6.1.html`.
fn is_iframe(segment: &str) -> bool {
    let version = segment.strip_prefix("iframe").and_then(|rest| rest.strip_suffix(".html"));
    version.is_some_and(|version| {
        version
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || matches!(b, b'-' | b'.' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_paths() {
        assert_eq!(Route::parse(""), Some(Route::Greeting));
        assert_eq!(Route::parse("info"), Some(Route::Info));
        assert_eq!(Route::parse("iframe-0.1.2abc-dirty.2144.html"), Some(Route::Iframe));
        assert_eq!(Route::parse("websocket"), Some(Route::RawWebSocket));
        assert_eq!(Route::parse("000/a%20b/xhr"), Some(Route::Session("a%20b", Door::Xhr)));
    }

    #[test]
    fn all_others_are_unknown() {
        let long = format!("0/{}/xhr", "x".repeat(ID_MAX + 1));
        for path in [
            "/",
            "//",
            "/a/xhr",
            "a//xhr",
            "a./a/xhr",
            "a/a./xhr",
            "a/a",
            "a/a/",
            "a/a/xhr/",
            "a/a/xhrs",
            "iframe",
            "iframe.htm",
            "IFRAME.html",
            "iframe-A.html",
            "info/",
            &long,
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }
}
