//! People talk while servers, brokers and connections die, and nothing that was acknowledged is lost.

mod checker;
mod runs;
