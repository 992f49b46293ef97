//! rumqttc 0.25 asks for webpki 0.102, which has known vulnerabilities, only to name an error type that nothing returns:
//! certificates are checked by rustls, with its own, current webpki. So it is given that one.

pub use current::*;
