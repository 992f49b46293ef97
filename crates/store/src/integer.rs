//! Integers in a database have a sign; ours that go there have none.

/// As a database stores it; what no clock or counter reaches becomes its largest.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// As we know it; what is below zero, which we never store, becomes zero.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
