//! Figures as people read them.

/// Bytes in megabytes.
pub(crate) fn mega(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A part of a whole, in percent; 0 of nothing.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole * 100.0 } else { 0.0 }
}

/// How much in a second; 0 in no time.
pub(crate) fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(mega(39_960_000), "40.0 MB");
        assert_eq!(percent(0.3, 60.0), 0.5);
        assert_eq!(percent(1.0, 0.0), 0.0);
        assert_eq!(rate(500, 0.5), 1000.0);
    }
}
