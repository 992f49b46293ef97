//! Talking while everything around breaks, and proving afterwards that nothing was lost.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`history`], [`recorder`] | what each client sent, had acknowledged and saw |
//! | [`checker`] | the promises, as a function over histories |
//! | [`device`] | a client that behaves well: sends again, resumes, fetches what is missing, confirms |
//! | [`outsider`] | an MQTT client of our own, that sends again until the broker has confirmed |
//! | [`proxy`] | stands between two programs, and delays, swallows and cuts what they say |
//! | [`fault`] | what can break, and the schedule made from a seed |
//! | [`stage`] | the servers, the broker and the proxies of a run |
//! | [`disk`], [`clock`] | a disk that can be full, a clock that can be set |
//! | [`trace`] | what a process asks the kernel for |
//! | [`run`] | one run, from the first sign-in to the checked history |

pub mod checker;
pub mod clock;
pub mod device;
pub mod disk;
pub mod fault;
pub mod history;
pub mod outsider;
pub mod proxy;
pub mod recorder;
pub mod run;
mod session;
pub mod stage;
pub mod trace;
mod view;
