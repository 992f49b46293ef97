//! Scripts that a page loads one after the other, each a call with one frame.

use crate::receiver::Shape;
use crate::transport::{CallbackError, callback};

pub(crate) fn shape(query: &str) -> Result<Shape, CallbackError> {
    let callback = callback(query)?;
    // The comment keeps a response from being taken for a Flash file.
    let wrap = move |frame: &str| format!("/**/{callback}({});\r\n", serde_json::Value::from(frame));
    Ok(Shape { prelude: None, wrap: Box::new(wrap), limit: 1 })
}
