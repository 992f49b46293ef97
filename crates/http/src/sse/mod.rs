//! Server-sent events (HTML Standard §9.2): a session that a program only listens to.
//!
//! A [`Pipe`] lies between two tasks, bounded as a socket's queue is: the session feeds an [`SseTransport`], the HTTP
//! connection takes from an [`EventBody`] as fast as its client reads.

mod event;
mod pipe;
mod position;
mod transport;

pub(crate) use position::Positions;
pub(crate) use transport::SseTransport;
