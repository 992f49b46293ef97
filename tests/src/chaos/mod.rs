//! Talking while everything around breaks, and proving afterwards that nothing was lost.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`history`], [`entry`], [`recorder`] | what each client sent, had acknowledged and saw |
//! | [`checker`] | the promises, as a function over histories |
//! | [`figures`], [`say`] | what a run did, on a line that everybody sees |
//! | [`device`] | a client that behaves well: sends again, resumes, fetches what is missing, confirms |
//! | `line` | what it speaks over: a WebSocket, or a transport of SockJS |
//! | `twin` | somebody who says each thing over two connections at once |
//! | `keeper`, `spy` | who owns the room and changes who belongs to it, and who tries what they may not |
//! | [`outsider`] | an MQTT client of our own, that sends again until the broker has confirmed |
//! | [`proxy`] | stands between two programs, and delays, swallows and cuts what they say |
//! | [`liar`] | stands there too, and tells clients what the server never said |
//! | [`fault`] | what can break, and the schedule made from a seed |
//! | [`stage`] | the servers, the broker and the proxies of a run |
//! | [`disk`], [`read_only`], [`clock`] | a disk that can be full, files that can be read-only, a clock that can be set |
//! | [`trace`] | what a process asks the kernel for |
//! | [`run`] | one run, from the first sign-in to the checked history |

pub mod checker;
pub mod clock;
pub mod device;
pub mod disk;
pub mod entry;
pub mod fault;
pub mod figures;
pub mod history;
mod keeper;
pub mod liar;
mod line;
pub mod outsider;
pub mod proxy;
pub mod read_only;
pub mod recorder;
pub mod run;
pub mod say;
mod session;
mod spy;
pub mod stage;
pub mod trace;
mod twin;
mod view;
