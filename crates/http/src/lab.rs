//! The two calls of the course lab, and the list of its rooms (docs/protocol.md §6): `GET /send/`, `GET /messages/` and
//! `GET /rooms/`. They know no login and change things by GET, so they are there only when the operator asks for them,
//! and not for pages of others: a browser says where a request comes from.

use mqttchat_bridge::{Bridge, LAB_MESSAGES_MAX, Lab, LabMessage};
use serde_json::json;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{HeaderName, REFERER};
use warp::http::{HeaderMap, Method, StatusCode, Uri};

use crate::api::query::{Query, bad};
use crate::host::Authority;
use crate::origin::Origins;
use crate::problem::{Problem, Reply, json, method_not_allowed};
use crate::serve::Remote;

/// What a browser says about where a request comes from (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Messages that are given when nobody says how many.
const MESSAGES: u64 = 200;

#[derive(Clone, Copy)]
enum Call {
    Send,
    Messages,
    Rooms,
}

/// The lab's calls.
pub(crate) fn routes(bridge: &Bridge, origins: Origins) -> BoxedFilter<(Reply,)> {
    let (lab, bridge) = (bridge.lab(), bridge.clone());
    let call = |name: &'static str, call: Call| warp::path(name).and(warp::path::end()).map(move || call);
    let calls = call("send", Call::Send)
        .or(call("messages", Call::Messages))
        .unify()
        .or(call("rooms", Call::Rooms))
        .unify();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    calls
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Authority>())
        .and(warp::ext::optional::<Remote>())
        .then(
            move |call,
                  method: Method,
                  query: String,
                  headers: HeaderMap,
                  host: Option<Authority>,
                  remote| {
                let (lab, origins) = (lab.clone(), origins.clone());
                let knocked = knock(&bridge, remote);
                async move {
                    if method != Method::GET {
                        return method_not_allowed("GET").into_response();
                    }
                    match own_page(&origins, &headers, host.as_ref()).and(knocked) {
                        Ok(()) => answer(&lab, call, &query).await.unwrap_or_else(Problem::into_response),
                        Err(problem) => problem.into_response(),
                    }
                }
            },
        )
        .boxed()
}

/// Counts a call for its address: aliases are anybody's, so they alone limit nobody.
fn knock(bridge: &Bridge, remote: Option<Remote>) -> Result<(), Problem> {
    remote.map_or(Ok(()), |Remote(remote)| Ok(bridge.knock(remote.ip())?))
}

/// Refuses what another page has a browser do: an image is enough for a GET.
fn own_page(origins: &Origins, headers: &HeaderMap, host: Option<&Authority>) -> Result<(), Problem> {
    if let Some(host) = host {
        origins.check(headers, host)?;
    }
    let site = headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes());
    let told = site.is_some();
    let own = match site {
        Some(site) => matches!(site, b"same-origin" | b"none"),
        // Browsers of before 2023 say at least which page it was, if that lets them.
        None => headers.get(REFERER).is_none_or(|referer| {
            let uri = referer.to_str().ok().and_then(|referer| referer.parse::<Uri>().ok());
            let page = uri.as_ref().and_then(Uri::authority).and_then(|page| Authority::parse(page.as_str()));
            page.as_ref() == host
        }),
    };
    if own {
        return Ok(());
    }
    let by = if told { "the browser says" } else { "the Referer says" };
    let detail = format!("This call is not for other pages, and {by} that one is behind it.");
    Err(Problem::new(StatusCode::FORBIDDEN, detail).with("code", "forbidden"))
}

async fn answer(lab: &Lab, call: Call, query: &str) -> Result<Reply, Problem> {
    let value = match call {
        Call::Send => {
            let known = ["room_name", "message", "from_alias", "to_alias", "group_room"];
            let query = Query::parse(query, &known)?;
            let message = LabMessage {
                room_name: needed(&query, "room_name")?,
                message: needed(&query, "message")?,
                from_alias: needed(&query, "from_alias")?,
                to_alias: query.get("to_alias").filter(|alias| !alias.is_empty()),
                group_room: flag(&query, "group_room")?,
            };
            lab.send(&message).await?;
            json!(true)
        }
        Call::Messages => {
            let query = Query::parse(query, &["room_name", "num_messages"])?;
            let most = query.number("num_messages", 1)?.unwrap_or(MESSAGES);
            if most > LAB_MESSAGES_MAX {
                return Err(bad(format!("num_messages is at most {LAB_MESSAGES_MAX}")));
            }
            json!(lab.messages(needed(&query, "room_name")?, most).await?)
        }
        Call::Rooms => {
            let query = Query::parse(query, &["alias"])?;
            json!(lab.rooms(query.get("alias").filter(|alias| !alias.is_empty())).await?)
        }
    };
    Ok(json(StatusCode::OK, "application/json", &value))
}

fn needed<'q>(query: &'q Query<'_>, name: &str) -> Result<&'q str, Problem> {
    query
        .get(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| bad(format!("the parameter {name} is missing")))
}

/// `true` or `false`, as Python writes them too.
fn flag(query: &Query<'_>, name: &str) -> Result<bool, Problem> {
    match query.get(name).map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(bad(format!("the parameter {name} has to be true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn welcome(headers: &[(&'static str, &str)]) -> bool {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let host = Authority::parse("localhost:9091");
        own_page(&Origins::default(), &headers.collect(), host.as_ref()).is_ok()
    }

    #[test]
    fn pages_of_others_are_told_apart() {
        for own in [
            &[][..],
            &[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:9091")],
            &[("sec-fetch-site", "none")],
            &[("referer", "http://localhost:9091/page?x")],
        ] {
            assert!(welcome(own), "{own:?}");
        }
        for other in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site"), ("referer", "http://localhost:9091/")],
            &[("origin", "http://evil.example")],
            &[("origin", "null")],
            &[("referer", "http://evil.example/localhost:9091")],
            &[("referer", "http://localhost:9092/")],
            &[("referer", "nonsense")],
        ] {
            assert!(!welcome(other), "{other:?}");
        }
    }
}
