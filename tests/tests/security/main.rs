//! What somebody tries who means no good.

mod limits;
mod listening;
mod names;
mod origins;
mod requests;
mod slow;
mod timeouts;
