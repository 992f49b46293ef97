//! Frames as clients send them, good and bad.

use super::*;

fn code(text: &str) -> ErrorCode {
    ClientFrame::parse(text).unwrap_err().code
}

#[test]
fn what_is_no_frame() {
    for text in [
        "",
        "x",
        "[]",
        "null",
        "\"msg\"",
        "7",
        "{",
        "{}",
        r#"{"type":null}"#,
        r#"{"type":{}}"#,
        r#"{"type":true}"#,
        r#"{"type":"msg","id":7,"dest":"public","data":{}}"#,
        r#"{"type":"msg","id":"","dest":"public","data":{}}"#,
        r#"{"type":"msg","dest":"public","data":{}}"#,
        r#"{"type":"msg","id":"1","dest":"public"}"#,
        r#"{"type":"msg","id":"1","dest":"public","data":{"text":7}}"#,
        r#"{"type":"msg","id":"1","dest":"public","data":{"text":"\ud800"}}"#,
        r#"{"type":"hello","data":{"name":"a\u202eb"}}"#,
        r#"{"type":"hello","data":{"resume":{"x":1}}}"#,
        r#"{"type":"hello","data":{"resume":{"public":-1}}}"#,
        r#"{"type":"history","dest":"public","data":{"before":1,"after":2}}"#,
        r#"{"type":"history","dest":"public","data":{"limit":1.5}}"#,
        r#"{"type":"typing","dest":"public"}"#,
        r#"{"type":"edit","id":"1","dest":"public","data":{"target":"m"}}"#,
        r#"{"type":"delete","id":"1","dest":"public","data":{}}"#,
        r#"{"type":"delete","dest":"public","data":{"target":"m"}}"#,
        r#"{"type":"react","id":"1","dest":"public","data":{"target":"m","emoji":""}}"#,
        r#"{"type":"react","id":"1","dest":"public","data":{"target":"m","emoji":"x","author":"A B"}}"#,
        r#"{"type":"search","id":"1","data":{}}"#,
        r#"{"type":"room.create","id":"1","dest":"rooms/r","data":{"title":""}}"#,
        r#"{"type":"room.create","id":"1","dest":"rooms/r","data":{"title":"R","members":["A"]}}"#,
        r#"{"type":"room.update","id":"1","dest":"rooms/r","data":{}}"#,
        r#"{"type":"member.add","id":"1","dest":"rooms/r","data":{"user":"mqtt:x"}}"#,
        r#"{"type":"msg","type":"msg"}"#,
        r#"{"type":"msg","id":"1","dest":"public","data":{"text":"a","text":"b"}}"#,
        r#"{"type":"msg","id":"1","dest":"public","data":{"a":[{"b":1,"\u0062":1}]}}"#,
    ] {
        assert_eq!(code(text), ErrorCode::BadFrame, "{text}");
    }
    let deep = format!(
        r#"{{"type":"msg","id":"1","dest":"public","data":{}{}}}"#,
        r#"{"a":"#.repeat(5000),
        "}".repeat(5000)
    );
    assert_eq!(code(&deep), ErrorCode::BadFrame);
}

#[test]
fn refusals_name_the_frame() {
    let refusal = ClientFrame::parse(r#"{"type":"msg","id":"m1","dest":"nowhere","data":{}}"#).unwrap_err();
    assert_eq!((refusal.code, refusal.re), (ErrorCode::BadDest, MessageId::parse("m1")));
    let refusal = ClientFrame::parse(r#"{"type":"dance","id":"m2","dest":"public"}"#).unwrap_err();
    assert_eq!((refusal.code, refusal.re), (ErrorCode::UnknownType, MessageId::parse("m2")));
    assert_eq!(code(r#"{"type":4711}"#), ErrorCode::UnknownType);
    assert_eq!(code(r#"{"type":"join"}"#), ErrorCode::BadDest);
    assert_eq!(code(r#"{"type":"join","dest":7}"#), ErrorCode::BadDest);
}

#[test]
fn a_hello() {
    let text = r#"{"type":"hello","id":"h1","data":{"name":"Ann","token":null,"log":null,"resume":{"public":41,"private/bob":7}},"new":1}"#;
    let Command::Hello(hello) = ClientFrame::parse(text).unwrap().command else { panic!("no hello") };
    assert_eq!(hello.name.unwrap().as_str(), "Ann");
    assert_eq!((hello.token, hello.log), (None, None));
    assert_eq!(hello.resume.into_values().collect::<Vec<_>>(), [41, 7]);
}

#[test]
fn types_of_the_application() {
    let own = |kind: &str| kind == "poll.vote" || kind == "msg";
    let parse = |text| ClientFrame::parse_with(text, own);
    let text = r#"{"type":"poll.vote","id":"v1","dest":"public","data":[1]}"#;
    let frame = parse(text).unwrap();
    let data = serde_json::json!([1]);
    assert_eq!(frame.command, Command::Own { kind: "poll.vote".to_owned(), data });
    assert_eq!((frame.id, frame.dest), (MessageId::parse("v1"), Some(Dest::Public)));
    assert_eq!(code(text), ErrorCode::UnknownType);
    assert_eq!(parse(r#"{"type":"poll.end"}"#).unwrap_err().code, ErrorCode::UnknownType);
    assert_eq!(parse(r#"{"type":"poll.vote","dest":"x"}"#).unwrap_err().code, ErrorCode::BadDest);
    assert_eq!(parse(r#"{"type":"msg"}"#).unwrap_err().code, ErrorCode::BadFrame, "the protocol's own");
}

#[test]
fn unknown_members_of_data_are_kept() {
    let text = r#"{"type":"msg","id":"1","dest":"rooms/r","data":{"z":[1,{"b":2.50}],"text":"hi","a":null}}"#;
    let Command::Msg(data) = ClientFrame::parse(text).unwrap().command else { panic!("no msg") };
    assert_eq!(serde_json::to_string(&data).unwrap(), r#"{"z":[1,{"b":2.5}],"text":"hi","a":null}"#);
}
