//! TLS of the connections that the server makes, to its broker, its database and its webhook: whom it trusts
//! ([`ClientTls`]), and in plain words what went wrong ([`explain`]).
//!
//! It is rustls, with ring: the process has one such provider, named wherever a configuration is made.

mod check;
mod client;
mod explain;
mod pem;
mod shared;

pub use client::{Check, ClientTls, Identity, TlsError};
pub use explain::{Settings, explain, is_refusal};
pub use shared::SharedTls;
