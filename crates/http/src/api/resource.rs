//! Which resource an address names, and what can be done with it.

use mqttchat_protocol::{Dest, RoomId, UserId};
use percent_encoding::percent_decode_str;

/// Something that calls are about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// `messages`
    Messages,
    /// `conversations`
    Conversations,
    /// `users`
    Users,
    /// `users/{user}`
    User(UserId),
    /// `rooms`
    Rooms,
    /// `rooms/{room}`, where a text can be sent to, too.
    Room(RoomId),
    /// `rooms/{room}/members/{user}`
    Member(RoomId, UserId),
    /// `public`, `private/{user}`: where a text can be sent to.
    Say(Dest),
    /// `events`
    Events,
    /// `openapi.json`
    OpenApi,
    /// `asyncapi.yaml`
    AsyncApi,
}

impl Resource {
    /// The resource at an address, given what stands behind `/api/`.
    pub(super) fn find(path: &str) -> Option<Self> {
        let path = path.strip_prefix("v1/")?;
        let segments: Option<Vec<_>> =
            path.split('/').map(|segment| percent_decode_str(segment).decode_utf8().ok()).collect();
        let segments = segments?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        // A segment that has a slash in it names nothing.
        if segments.iter().any(|segment| segment.contains('/')) {
            return None;
        }
        Some(match *segments {
            ["messages"] => Self::Messages,
            ["conversations"] => Self::Conversations,
            ["users"] => Self::Users,
            ["users", user] => Self::User(UserId::parse(user)?),
            ["public"] => Self::Say(Dest::Public),
            ["rooms"] => Self::Rooms,
            ["rooms", room] => Self::Room(RoomId::parse(room)?),
            ["rooms", room, "members", user] => Self::Member(RoomId::parse(room)?, UserId::parse(user)?),
            ["private", _] => Self::Say(Dest::parse(&segments.join("/")).ok()?),
            ["events"] => Self::Events,
            ["openapi.json"] => Self::OpenApi,
            ["asyncapi.yaml"] => Self::AsyncApi,
            _ => return None,
        })
    }

    /// Its methods, as `Allow` names them.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Messages | Self::Rooms => "GET, HEAD, POST, OPTIONS",
            Self::User(_) => "GET, HEAD, PATCH, OPTIONS",
            Self::Conversations | Self::Users | Self::Events | Self::OpenApi | Self::AsyncApi => {
                "GET, HEAD, OPTIONS"
            }
            Self::Room(_) => "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
            Self::Member(..) => "PUT, DELETE, OPTIONS",
            Self::Say(_) => "POST, OPTIONS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let say = |dest| Some(Resource::Say(Dest::parse(dest).unwrap()));
        assert_eq!(Resource::find("v1/messages"), Some(Resource::Messages));
        assert_eq!(Resource::find("v1/users/a%6En"), Some(Resource::User(UserId::parse("ann").unwrap())));
        assert_eq!(Resource::find("v1/rooms/ops"), Some(Resource::Room(RoomId::parse("ops").unwrap())));
        assert_eq!(Resource::find("v1/private/mqtt%3Alamp"), say("private/mqtt:lamp"));
        for none in [
            "",
            "v1",
            "v1/",
            "v2/messages",
            "v1/messages/",
            "v1/users/Ann",
            "v1/users/a%2Fb",
            "v1/%ff",
            "v1//",
        ] {
            assert_eq!(Resource::find(none), None, "{none}");
        }
    }
}
