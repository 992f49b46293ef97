//! The lab's names of rooms and people as ids of this server, and back.
//!
//! A name that is an id already stays as it is. Any other becomes `lab-` and its UTF-8, where what is not `a-z`, `0-9` or
//! `-` is written as `_` and two hexadecimal digits: `My Room` is `lab-_4dy_20_52oom`.

/// Stands before what was a name.
const MARK: &str = "lab-";

/// The longest id.
const ID_MAX: usize = 64;

/// The id of a name; `None` when it would be too long, or the name is empty.
pub(crate) fn id_of(name: &str) -> Option<String> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_id = starts_well && name.bytes().all(|b| is_plain(b) || b == b'_') && !name.starts_with(MARK);
    let id = if is_id {
        name.to_owned()
    } else {
        let spelled =
            name.bytes().map(|b| if is_plain(b) { char::from(b).into() } else { format!("_{b:02x}") });
        spelled.fold(MARK.to_owned(), |id: String, part: String| id + &part)
    };
    (!name.is_empty() && id.len() <= ID_MAX).then_some(id)
}

/// The name of an id; the id itself where it was made from none.
pub(crate) fn name_of(id: &str) -> String {
    decoded(id).filter(|name| id_of(name).as_deref() == Some(id)).unwrap_or_else(|| id.to_owned())
}

fn decoded(id: &str) -> Option<String> {
    let mut rest = id.strip_prefix(MARK)?.bytes();
    let mut name = Vec::new();
    while let Some(b) = rest.next() {
        if b != b'_' {
            name.push(b);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        name.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use mqttchat_protocol::RoomId;

    use super::*;

    #[test]
    fn there_and_back() {
        for name in
            ["room", "general-1", "a_b", "My Room", "lab-x", "_x", "-x", "über", "日本", "a/b#+", "lab-_4d"]
        {
            let id = id_of(name).unwrap();
            assert!(RoomId::parse(&id).is_some(), "{id}");
            assert_eq!(name_of(&id), name, "{id}");
        }
        assert_eq!(id_of("My Room").unwrap(), "lab-_4dy_20_52oom");
        assert_eq!(id_of("a_b").unwrap(), "a_b");
    }

    #[test]
    fn different_names_have_different_ids() {
        let names = ["a b", "a_20b", "a-b", "A b", "lab-a_20b", "lab-_6cab"];
        let ids: std::collections::HashSet<_> = names.iter().map(|name| id_of(name).unwrap()).collect();
        assert_eq!(ids.len(), names.len());
    }

    #[test]
    fn no_ids() {
        assert_eq!((id_of(""), id_of(&"x".repeat(65)), id_of(&"É".repeat(20))), (None, None, None));
        assert!(id_of(&"x".repeat(64)).is_some());
        assert_eq!(name_of("lab-_4"), "lab-_4");
        assert_eq!(name_of("lab-_ff"), "lab-_ff", "no UTF-8");
        assert_eq!(name_of("lab-room"), "lab-room", "made by no name");
    }
}
