//! From when and until when a certificate is good.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::der::{DateTime, Decode};
use x509_cert::time::Time;

/// A day, in seconds.
const DAY: u64 = 24 * 60 * 60;
/// Renewing is asked for so long before the end, or when two thirds of the time are over, whichever is later.
const SOON: u64 = 14 * DAY;

/// The time in which a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    from: DateTime,
    until: DateTime,
}

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is good for a while.
    Good,
    /// It is time to renew it.
    Ending,
    /// It is not good yet.
    Early,
    /// It is over.
    Over,
}

impl Validity {
    /// Reads it; `None` where it can't be made out.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
        let validity = certificate.tbs_certificate.validity;
        let date = |time: Time| time.to_date_time();
        Some(Self { from: date(validity.not_before), until: date(validity.not_after) })
    }

    /// The last moment at which it is good, in Unix time.
    #[must_use]
    pub fn until(&self) -> u64 {
        self.until.unix_duration().as_secs()
    }

    /// How it stands at this moment.
    #[must_use]
    pub fn standing(&self, now: SystemTime) -> Standing {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (from, until) = (self.from.unix_duration().as_secs(), self.until());
        if now > until {
            Standing::Over
        } else if now < from {
            Standing::Early
        } else if until - now < SOON.min((until - from) / 3) {
            Standing::Ending
        } else {
            Standing::Good
        }
    }

    /// What an operator is to know of it at this moment, if anything: the end of a sentence that begins with the
    /// certificate.
    #[must_use]
    pub fn complaint(&self, now: SystemTime) -> Option<String> {
        let Self { from, until } = self;
        match self.standing(now) {
            Standing::Good => None,
            Standing::Ending => Some(format!("expires on {until}: renew it")),
            Standing::Early => Some(format!(
                "is not valid before {from}, and refused till then: is this machine's clock right?"
            )),
            Standing::Over => Some(format!("has expired on {until}, and is refused: renew it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_end_is_told_in_time() {
        let date = |seconds| DateTime::from_unix_duration(Duration::from_secs(seconds)).unwrap();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let year = Validity { from: date(100 * DAY), until: date(465 * DAY) };
        for (day, standing, words) in [
            (99, Standing::Early, "not valid before 1970-04-11T00:00:00Z"),
            (100, Standing::Good, ""),
            (450, Standing::Good, ""),
            (452, Standing::Ending, "expires on 1971-04-11T00:00:00Z: renew it"),
            (465, Standing::Ending, "expires on"),
            (466, Standing::Over, "has expired on 1971-04-11T00:00:00Z"),
        ] {
            assert_eq!(year.standing(at(day * DAY)), standing, "day {day}");
            assert!(year.complaint(at(day * DAY)).unwrap_or_default().contains(words), "day {day}");
        }
        let week = Validity { from: date(100 * DAY), until: date(106 * DAY) };
        assert_eq!(
            week.standing(at(103 * DAY)),
            Standing::Good,
            "one of six days is nothing to complain about"
        );
        assert_eq!(week.standing(at(105 * DAY)), Standing::Ending);
    }
}
