//! Reads the few members of a JSON frame that the generator looks at, without building a tree.
//!
//! It shares its cores with the server it measures, so it must not do more than it has to. It reads what a server
//! serialised: it finds where values begin and end, and leaves the checking of JSON to those who store it.

/// Calls `on` with each member of a JSON object: its name without the quotes, its value as it stands there.
///
/// `None` when this is no JSON object.
pub(crate) fn members<'a>(object: &'a [u8], mut on: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut at = expect(object, blank(object, 0), b'{')?;
    if object.get(blank(object, at)) == Some(&b'}') {
        return Some(());
    }
    loop {
        let name = blank(object, at);
        let name_end = value_end(object, name)?;
        at = expect(object, blank(object, name_end), b':')?;
        let value = blank(object, at);
        let value_end = value_end(object, value)?;
        on(unquoted(&object[name..name_end])?, &object[value..value_end]);
        at = blank(object, value_end);
        match object.get(at)? {
            b',' => at += 1,
            b'}' => return Some(()),
            _ => return None,
        }
    }
}

/// Calls `on` with each element of a JSON array. `None` when this is none.
pub(crate) fn elements<'a>(array: &'a [u8], mut on: impl FnMut(&'a [u8])) -> Option<()> {
    let mut at = expect(array, blank(array, 0), b'[')?;
    if array.get(blank(array, at)) == Some(&b']') {
        return Some(());
    }
    loop {
        let value = blank(array, at);
        let end = value_end(array, value)?;
        on(&array[value..end]);
        at = blank(array, end);
        match array.get(at)? {
            b',' => at += 1,
            b']' => return Some(()),
            _ => return None,
        }
    }
}

/// The value of one member of an object.
pub(crate) fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    members(object, |key, value| {
        if key == name.as_bytes() {
            found = Some(value);
        }
    })?;
    found
}

/// What stands between the quotes of a string, escapes and all.
pub(crate) fn unquoted(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// A value as text; `None` when it is no string, or one with escapes.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(unquoted(value)?).ok().filter(|text| !text.contains('\\'))
}

/// A value as a whole number.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| sum.checked_mul(10)?.checked_add(u64::from(digit))).flatten()
    })
}

fn blank(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

fn expect(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    (text.get(at) == Some(&byte)).then_some(at + 1)
}

/// Where the value that begins at `at` ends.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => nested_end(text, at),
        _ => {
            let rest = &text[at..];
            let length = rest
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
            length.filter(|length| *length > 0).map(|length| at + length)
        }
    }
}

fn string_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn nested_end(text: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_an_entry() {
        let frame =
            br#"{"type":"msg", "id":"a\"}","seq":12,"data":{"text":"}],{","deep":[{"a":[1]}]},"via":null}"#;
        let mut seen = Vec::new();
        members(frame, |name, value| seen.push((name.to_vec(), value.to_vec()))).unwrap();
        let names: Vec<_> = seen.iter().map(|(name, _)| std::str::from_utf8(name).unwrap()).collect();
        assert_eq!(names, ["type", "id", "seq", "data", "via"]);
        assert_eq!(number(member(frame, "seq").unwrap()), Some(12));
        assert_eq!(unquoted(member(frame, "id").unwrap()), Some(&br#"a\"}"#[..]));
        assert_eq!(text(member(frame, "id").unwrap()), None);
        let data = member(frame, "data").unwrap();
        assert_eq!(text(member(data, "text").unwrap()), Some("}],{"));
        assert_eq!(member(frame, "none"), None);
    }

    #[test]
    fn elements_of_a_list() {
        let mut seen = Vec::new();
        elements(br#"[ {"a":1},2 ,"x,]" ]"#, |element| seen.push(element.to_vec())).unwrap();
        assert_eq!(seen, [&br#"{"a":1}"#[..], b"2", br#""x,]""#]);
        elements(b"[]", |_| panic!("nothing in it")).unwrap();
        members(b"{ }", |_, _| panic!("nothing in it")).unwrap();
    }

    #[test]
    fn what_is_cut_short_or_something_else_is_nothing() {
        let whole = br#"{"type":"msg","data":{"text":"a"}}"#;
        for length in 0..whole.len() {
            assert_eq!(members(&whole[..length], |_, _| {}), None, "{length}");
        }
        assert_eq!(members(b"[1]", |_, _| {}), None);
        assert_eq!(elements(b"{}", |_| {}), None);
        for wrong in [&b""[..], b"-1", b"1.5", b"1e3", b"\"1\"", b"99999999999999999999"] {
            assert_eq!(number(wrong), None);
        }
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
    }
}
