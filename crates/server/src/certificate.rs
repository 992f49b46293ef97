//! How the server's own certificate stands: in the log at the start, when it is read again, and every few hours; and as a
//! metric.

use std::time::{Duration, SystemTime};

use mqttchat_http::{Standing, Tls};
use tokio::time::interval;

/// How often it is said that it is time to do something.
const SAY_EVERY: Duration = Duration::from_secs(12 * 60 * 60);

/// Keeps saying so, for as long as the server runs.
pub(crate) async fn watch(tls: Tls) {
    let mut ticks = interval(SAY_EVERY);
    loop {
        ticks.tick().await;
        tell(&tls);
    }
}

/// Says what there is to be done about it.
pub(crate) fn tell(tls: &Tls) {
    const UNTIL: &str = "mqttchat_tls_certificate_expires_timestamp_seconds";
    metrics::describe_gauge!(
        UNTIL,
        metrics::Unit::Seconds,
        "When the server's certificate ends, in Unix time"
    );
    let Some(validity) = tls.validity() else { return };
    metrics::gauge!(UNTIL).set(validity.until() as f64);
    let now = SystemTime::now();
    let Some(words) = validity.complaint(now) else { return };
    let certificate = tls.certificate().display();
    if validity.standing(now) == Standing::Ending {
        tracing::warn!("the certificate {certificate} {words}");
    } else {
        tracing::error!("the certificate {certificate} {words}");
    }
}
