//! The client protocol (docs/protocol.md), frame by frame and error by error, against the real server.
//!
//! Every test starts a server of its own: nothing that one does can hide or cause a failure of another.

mod asyncapi;
mod closing;
mod documents;
mod errors;
mod frames;
mod hello;
mod history;
mod jwt;
mod keys;
mod page;
mod presence;
mod resend;
mod resume;
mod revoked;
mod roster;
mod signing;
mod strangers;
mod talking;
mod typing;
