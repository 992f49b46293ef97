//! A text and nothing else: `curl -d 'hello' …/api/v1/rooms/ops`.

use mqttchat_bridge::Program;
use mqttchat_protocol::{ClientFrame, Command, Dest};
use serde_json::{Value, json};

use super::body::{Body, Kind, json_of, kind};
use super::messages::{frame, key_or_new, stored};
use super::query::{Query, bad};
use super::{Api, Call};
use crate::problem::{Problem, Reply};

/// What a JSON body may have beside its text.
const ENVELOPE: usize = 1024;

/// Sends the body: a text as it is, or a message's `data` in JSON.
pub(super) async fn say(
    api: &Api,
    program: &Program,
    call: &Call,
    body: Body,
    dest: &Dest,
) -> Result<Reply, Problem> {
    Query::parse(&call.query, &[])?;
    let kind = kind(&call.headers)?;
    let body = body.read(api.options.frame_limit + ENVELOPE).await?;
    let data = match kind {
        Kind::Json => json_of(&body)?,
        Kind::Text | Kind::Unsaid => {
            let text = std::str::from_utf8(&body).map_err(|_| bad("the text is not in UTF-8"))?;
            // What `echo` and editors put behind the last line is none of the text.
            let text = text.strip_suffix('\n').unwrap_or(text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            if text.is_empty() {
                return Err(bad("there is no text in the request's body"));
            }
            json!({ "text": text })
        }
    };
    let id = key_or_new(&call.headers)?;
    let message = json!({ "type": "msg", "id": id, "dest": dest, "data": data });
    let Value::Object(message) = message else { return Err(bad("the body has to be a text")) };
    let ClientFrame { id: Some(id), command: Command::Msg(data), .. } = frame(&message)? else {
        return Err(bad("the body has to be a text, or the data of a message"));
    };
    Ok(stored(&program.send(id, dest, &data).await?))
}

macro_rules! described {
    ($name:ident, $path:literal, $summary:literal $(, $param:tt)?) => {
        #[utoipa::path(
            post, path = $path, tag = "messages", operation_id = stringify!($name), summary = $summary,
            params(
                $($param,)?
                ("Idempotency-Key" = Option<String>, Header, nullable = false, min_length = 1, max_length = 64,
                    pattern = "^[ -~]+$", description = "The message's id; without it, it gets a new one")),
            request_body(description = "The text, as it is; or the message's data", content(
                (super::schema::Text = "text/plain"),
                (super::schema::Data = "application/json"))),
            responses(
                (status = 201, description = "It is stored, and will reach everybody",
                    body = super::schema::Message,
                    headers(("Location" = String, description = "Where it can be read again"))),
                (status = 200, description = "It had been sent already; this is what was stored then",
                    body = super::schema::Message,
                    headers(("Location" = String, description = "Where it can be read again")))),
        )]
        #[allow(dead_code, reason = "described here, carried out by `say`")]
        pub(super) fn $name() {}
    };
}
described!(say_in_public, "/api/v1/public", "Says a text to everybody");
described!(
    say_in_room,
    "/api/v1/rooms/{room}",
    "Says a text in a room",
    ("room" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", description = "The room's id")
);
described!(
    say_in_private,
    "/api/v1/private/{user}",
    "Says a text to one user",
    ("user" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", description = "The user's id")
);
