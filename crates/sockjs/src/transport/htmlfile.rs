//! A page that never ends, of scripts that call the page around it.

use crate::receiver::Shape;
use crate::transport::{CallbackError, callback};

/// Safari looks at so many bytes before it begins to parse.
const PRELUDE_MIN: usize = 1024;

/// What the page may do. Its scripts are written as they come, so no hash can name them; and nonces would make them
/// `<script nonce=…>`, where SockJS 0.3.3 has `<script>` to the byte, which its test suite compares. What is in them is
/// ours but for a callback's name, of which letters, digits, `_` and `.` are left, and texts in which nothing can end them.
pub(crate) fn policy(frame_ancestors: &str) -> String {
    format!(
        "default-src 'none'; script-src 'unsafe-inline'; base-uri 'none'; frame-ancestors {frame_ancestors}"
    )
}

pub(crate) fn shape(query: &str, limit: usize) -> Result<Shape, CallbackError> {
    let callback = callback(query)?;
    let mut prelude = format!(
        "<!doctype html>\n<html><head>\n  \
         <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n  \
         <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n\
         </head><body><h2>Don't panic!</h2>\n  <script>\n    document.domain = document.domain;\n    \
         var c = parent.{callback};\n    c.start();\n    function p(d) {{c.message(d);}};\n    \
         window.onload = function() {{c.stop();}};\n  </script>\n"
    );
    while prelude.len() < PRELUDE_MIN {
        prelude.push(' ');
    }
    prelude.push_str("\r\n\r\n");
    Ok(Shape { prelude: Some(prelude.into()), wrap: Box::new(script), limit })
}

fn script(frame: &str) -> String {
    // Inside a script element, `<` could end it.
    let quoted = serde_json::Value::from(frame).to_string().replace('<', "\\u003c");
    format!("<script>\np({quoted});\n</script>\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_end_its_script() {
        let text = script("a[\"</script><script>alert(1)<!--\"]");
        assert_eq!(text.matches('<').count(), 2, "{text}");
    }

    #[test]
    fn the_prelude_is_long_enough() {
        assert!(shape("c=x", 1).unwrap().prelude.unwrap().len() > PRELUDE_MIN);
    }
}
