//! The database's time, unless the embedder gives another.

/// The Unix time in ms when the statement arrived; or the parameter, where it is not null.
macro_rules! now {
    ($given:literal) => {
        concat!(
            "coalesce(",
            $given,
            "::bigint, floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint)"
        )
    };
}
pub(super) use now;
