//! `/healthz`: the process lives. `/readyz`: it can do its work, or what it lacks.

use mqttchat_bridge::Status;
use serde_json::{Value, json};
use warp::http::StatusCode;

use crate::problem::{self, Problem, Reply};

/// The answer of `/healthz`.
pub(crate) fn alive() -> Reply {
    problem::json(StatusCode::OK, "application/json", &json!({"status": "ok"}))
}

/// The answer of `/readyz`: 200, or 503 that names what is away, and why.
pub(crate) fn ready(status: &Status) -> Reply {
    let parts = [("broker", &status.broker), ("store", &status.store)];
    let failures: Vec<String> = parts
        .iter()
        .filter_map(|(part, state)| state.as_ref().err().map(|why| format!("the {part} is away: {why}")))
        .collect();
    let state =
        |state: &Result<(), String>| state.as_ref().map_or_else(|why| Value::from(&**why), |()| "ok".into());
    if failures.is_empty() {
        let body = json!({"status": "ready", "broker": "ok", "store": "ok", "sessions": status.sessions});
        return problem::json(StatusCode::OK, "application/json", &body);
    }
    let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, failures.join("; "));
    for (part, result) in parts {
        problem = problem.with(part, state(result));
    }
    problem.into_response()
}
