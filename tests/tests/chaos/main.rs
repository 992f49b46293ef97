//! People talk while servers, brokers and connections die, and nothing that was acknowledged is lost.

mod broker;
mod checker;
mod clock;
mod disk;
mod fsync;
mod garbage;
mod runs;
mod stuck;
