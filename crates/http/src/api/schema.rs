//! What goes in and out, as the OpenAPI document describes it. Bodies are read and written by the protocol's own types;
//! tests hold these descriptions against what the running server answers.
#![allow(dead_code, reason = "described, not built")]

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// A message's content: an object with a `text`, or with whatever an application agrees on.
#[derive(ToSchema)]
#[schema(example = json!({"text": "hello"}))]
pub(super) struct Data {
    /// What is shown; at most as many characters as the server's `limits.text`.
    #[schema(nullable = false)]
    text: Option<String>,
}

/// A message to be sent.
#[derive(ToSchema)]
pub(super) struct NewMessage {
    /// Where to.
    #[schema(
        pattern = "^(public|rooms/[a-z0-9][a-z0-9_-]{0,63}|private/(mqtt:)?[a-z0-9][a-z0-9_-]{0,63})$",
        example = "public"
    )]
    dest: String,
    /// The sender's id for it, by which a repetition is known; without it, it gets a new one.
    #[schema(min_length = 1, max_length = 64, pattern = "^[ -~]+$")]
    id: Option<String>,
    data: Data,
}

/// What an entry of a log says.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Kind {
    Msg,
    Edit,
    Delete,
    React,
    Room,
}

/// An entry of a conversation's log: the frame that everybody gets.
#[derive(ToSchema)]
pub(super) struct Message {
    #[schema(rename = "type")]
    kind: Kind,
    /// The author's id for it.
    id: String,
    /// The conversation, as its author names it.
    dest: String,
    /// The author's user id; `mqtt:…` for what strangers publish.
    from: String,
    /// The author's name at that time.
    name: String,
    /// When it was stored, Unix time in ms.
    time: u64,
    /// Its place in the conversation: 1, 2, 3 … without holes.
    #[schema(minimum = 1)]
    seq: u64,
    /// `mqtt` for what strangers publish.
    #[schema(nullable = false)]
    via: Option<String>,
    data: Data,
    /// When its text was last changed, Unix time in ms.
    #[schema(nullable = false)]
    edited: Option<u64>,
    /// Who reacts to it, by emoji.
    #[schema(nullable = false)]
    reactions: Option<BTreeMap<String, Vec<String>>>,
    /// Whether it was taken back: its text is gone.
    #[schema(nullable = false)]
    deleted: Option<bool>,
}

/// A page of messages.
#[derive(ToSchema)]
pub(super) struct Messages {
    messages: Vec<Message>,
    /// Whether there are more on the side that was asked for: newer ones with `after`, else older ones. Of a search: whether
    /// it found as many as were wanted, or fit.
    more: bool,
}

/// A conversation as one of its users sees it.
#[derive(ToSchema)]
pub(super) struct Conversation {
    /// Its name.
    dest: String,
    /// What it is called: a room's title, the other user's name.
    title: Option<String>,
    /// Its newest `seq`; 0 when nothing was said.
    head: u64,
    /// Up to where the user has read.
    read: u64,
    /// Up to where it was delivered to the user.
    delivered: u64,
    last: Option<Message>,
}

/// A page of conversations.
#[derive(ToSchema)]
pub(super) struct Conversations {
    conversations: Vec<Conversation>,
    more: bool,
}

/// A room.
#[derive(ToSchema)]
pub(super) struct Room {
    id: String,
    /// What it is called.
    title: String,
    /// Whether everybody may read and write; else only its members.
    open: bool,
    /// The user who may change it.
    owner: String,
    /// The users who belong to it, the owner among them.
    members: Vec<String>,
    /// When it was made, Unix time in ms.
    created: u64,
    /// When its title, openness or members last changed, Unix time in ms.
    modified: u64,
    /// Its newest `seq`.
    head: u64,
}

/// A page of rooms.
#[derive(ToSchema)]
pub(super) struct Rooms {
    rooms: Vec<Room>,
    more: bool,
}

/// A text that is said as it is. A line break at its end is dropped; there has to be something else.
#[derive(ToSchema)]
#[schema(min_length = 1, pattern = "[^\\r\\n]", example = "hello")]
pub(super) struct Text(String);

/// A user's id.
#[derive(ToSchema, Deserialize)]
#[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", example = "deploy-bot")]
pub(super) struct UserId(String);

/// A room to be made.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRoom {
    /// What it is called in addresses, for ever.
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", example = "ops")]
    id: String,
    /// What it is called otherwise; not with control, direction-changing or invisible characters.
    #[schema(min_length = 1, max_length = 64, example = "Operations")]
    title: String,
    /// Whether everybody may read and write; without it, only members may.
    open: Option<bool>,
    /// Who belongs to it, beside its owner.
    #[schema(example = json!([]))]
    members: Option<Vec<UserId>>,
}

/// What is to change about a room: at least one of these.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "Operations"}), min_properties = 1)]
pub(super) struct RoomPatch {
    /// Its new title.
    #[schema(nullable = false, min_length = 1, max_length = 64)]
    title: Option<String>,
    /// Whether everybody may read and write.
    #[schema(nullable = false)]
    open: Option<bool>,
}

/// Whether somebody is there.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum State {
    /// With a session, on any node.
    Online,
    Offline,
}

/// A user.
#[derive(ToSchema)]
pub(super) struct User {
    id: String,
    /// The name that is shown.
    name: String,
    state: State,
    /// When they were last there, Unix time in ms; of those online, the present moment.
    last_seen: u64,
    /// Whether an operator has locked them out; shown of one user, to keys with the scope `admin`.
    #[schema(nullable = false)]
    blocked: Option<bool>,
}

/// What can be changed about a user.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"blocked": true}))]
pub(super) struct UserPatch {
    /// Whether they are locked out.
    blocked: bool,
}

/// A page of users.
#[derive(ToSchema)]
pub(super) struct Users {
    users: Vec<User>,
    more: bool,
}

/// Why something was not done (RFC 9457).
#[derive(ToSchema)]
pub(super) struct Problem {
    #[schema(rename = "type", example = "about:blank")]
    kind: String,
    title: String,
    status: u16,
    /// One sentence that a person can act on.
    detail: String,
    /// A word that a program can act on; those of docs/protocol.md §4, and a few of HTTP.
    #[schema(example = "not_found")]
    code: String,
    /// Whether the same request can succeed later.
    #[schema(nullable = false)]
    retry: Option<bool>,
    /// When to try again, in ms.
    #[schema(nullable = false)]
    retry_after: Option<u64>,
}

/// Which messages.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    /// The conversation.
    #[param(
        pattern = "^(public|rooms/[a-z0-9][a-z0-9_-]{0,63}|private/(mqtt:)?[a-z0-9][a-z0-9_-]{0,63})$",
        example = "public"
    )]
    dest: String,
    /// The messages before this `seq`, the newest of them.
    #[param(nullable = false, minimum = 0, maximum = 9_007_199_254_740_992_u64)]
    before: Option<u64>,
    /// The messages after this `seq`, the oldest of them; not together with `before`.
    #[param(nullable = false, minimum = 0, maximum = 9_007_199_254_740_992_u64)]
    after: Option<u64>,
    /// How many at most; above the server's `limits.history` that is meant.
    #[param(nullable = false, minimum = 1, maximum = 9_007_199_254_740_992_u64)]
    limit: Option<u64>,
}

/// Which part of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Those that come behind this one.
    #[param(nullable = false)]
    after: Option<String>,
    /// How many at most; above 500 that is meant.
    #[param(nullable = false, minimum = 1, maximum = 9_007_199_254_740_992_u64)]
    limit: Option<u64>,
}

/// Which part of the list of rooms.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RoomsQuery {
    /// Those whose ids come behind this one.
    #[param(nullable = false, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", example = "ops")]
    after: Option<String>,
    /// How many at most; above 500 that is meant.
    #[param(nullable = false, minimum = 1, maximum = 9_007_199_254_740_992_u64)]
    limit: Option<u64>,
}

/// Which users.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UsersQuery {
    /// Only those in this state.
    #[param(nullable = false, inline)]
    state: Option<State>,
    /// Those whose ids come behind this one.
    #[param(nullable = false)]
    after: Option<String>,
    /// How many at most; above 500 that is meant.
    #[param(nullable = false, minimum = 1, maximum = 9_007_199_254_740_992_u64)]
    limit: Option<u64>,
}

/// What to follow.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// The conversations, separated by commas or given one by one.
    #[param(style = Form, explode, min_items = 1, max_items = 100, example = json!(["public"]))]
    dest: Vec<String>,
}
