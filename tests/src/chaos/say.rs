//! What whoever runs the tests has to see of those that pass, too.

use std::io::Write;

/// Writes a line that the test runner doesn't keep to itself, as it does with what is printed.
pub fn say(line: &str) {
    // Who has closed their end doesn't want to know.
    writeln!(std::io::stdout().lock(), "chaos: {line}").ok();
}

/// Says that something can't be tried here, and why.
pub fn skipped(what: &str, why: &str) {
    say(&format!("SKIPPED {what}: {why}"));
}
