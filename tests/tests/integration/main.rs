//! The server with everything around it: both brokers, crashes, stops, outages and wrong settings.

mod crash;
mod crowd;
mod devices;
mod https;
mod outage;
mod outsiders;
mod settings;
mod slow;
mod stopping;
