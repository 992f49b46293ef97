//! What went wrong with a TLS connection, and what to do about it.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// What the settings are called that an explanation speaks of.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// That of the authorities to trust.
    pub ca: &'static str,
    /// Those of the client's own certificate and key.
    pub identity: &'static str,
}

/// What TLS objected to, if that is what the error comes from: the end of a sentence whose subject is the other side.
#[must_use]
pub fn explain(error: &(dyn Error + 'static), settings: Settings) -> Option<String> {
    chain(error).find_map(|error| {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(in_words(tls, settings));
        }
        (error.to_string() == "tls handshake eof").then(|| {
            "closes the connection when TLS begins: its port is not for TLS, or it turns us away".to_owned()
        })
    })
}

/// Whether the error says that the other side refuses who the client is.
#[must_use]
pub fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    use AlertDescription as A;
    chain(error).any(|error| {
        matches!(
            error.downcast_ref(),
            Some(rustls::Error::AlertReceived(
                A::CertificateRequired | A::HandshakeFailure | A::BadCertificate | A::AccessDenied
            ))
        )
    })
}

/// An error and what it comes from.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        // What an I/O error is made of is not among its sources: it is the error itself.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn in_words(error: &rustls::Error, settings: Settings) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(wrong) => certificate_in_words(wrong, settings),
        E::AlertReceived(alert) => alert_in_words(*alert, settings),
        E::InvalidMessage(_) => {
            "answers with something that is not TLS: its port is for plain connections".to_owned()
        }
        E::PeerIncompatible(_) => format!("speaks no TLS that can be used, which is 1.2 or 1.3 ({error})"),
        E::NoCertificatesPresented => "shows no certificate".to_owned(),
        other => format!("can't be spoken to by TLS: {other}"),
    }
}

fn certificate_in_words(wrong: &CertificateError, Settings { ca, .. }: Settings) -> String {
    use CertificateError as C;
    match wrong {
        C::UnknownIssuer => {
            format!(
                "has a certificate of an authority that is not trusted here: name that authority's certificate with {ca}"
            )
        }
        C::Expired | C::ExpiredContext { .. } => {
            "has a certificate that has expired: renew it there, or set this machine's clock".to_owned()
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "has a certificate that is not valid yet: set this machine's clock, or make another there"
                .to_owned()
        }
        C::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() {
                "no name (a common name alone doesn't count)".to_owned()
            } else {
                presented.iter().map(|name| plain_name(name)).collect::<Vec<_>>().join(", ")
            };
            format!(
                "has a certificate for {names}, and not for {}: call it by such a name, or make another there",
                expected.to_str()
            )
        }
        C::Revoked => "has a certificate that was revoked".to_owned(),
        C::BadSignature => {
            format!("has a certificate whose signature is not that of the authority in {ca}")
        }
        other => {
            let reason = format!("{other:?}");
            if reason.contains("CaUsedAsEndEntity") {
                return "shows an authority's certificate as its own: make it one that this authority has signed"
                    .to_owned();
            }
            format!("has a certificate that can't be accepted: {other}")
        }
    }
}

/// `DnsName("a")` and `IpAddress(::1)`, as webpki lists what a certificate is for, without what is around it.
fn plain_name(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

fn alert_in_words(alert: AlertDescription, Settings { identity, .. }: Settings) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => format!("wants to see a client certificate: give one with {identity}"),
        A::HandshakeFailure => {
            format!(
                "ends the handshake: it wants a client certificate ({identity}), or shares no cipher with us"
            )
        }
        A::UnknownCA => {
            format!("doesn't trust the authority of our client certificate: see {identity}")
        }
        A::CertificateExpired => {
            format!("says that our client certificate has expired: renew it ({identity})")
        }
        A::CertificateRevoked => {
            format!("says that our client certificate was revoked: replace it ({identity})")
        }
        A::BadCertificate | A::CertificateUnknown | A::UnsupportedCertificate | A::AccessDenied => {
            format!("doesn't accept our client certificate ({alert:?}): see {identity}")
        }
        A::ProtocolVersion => "speaks neither TLS 1.2 nor 1.3".to_owned(),
        A::UnrecognisedName => "doesn't know the name it is called by".to_owned(),
        other => format!("ends the TLS connection ({other:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { ca: "the.ca", identity: "the.cert" };

    fn said(error: rustls::Error) -> String {
        // As it comes through an I/O error and an error of a client's own.
        #[derive(Debug, thiserror::Error)]
        #[error("no connection")]
        struct Outer(#[from] io::Error);
        explain(&Outer(io::Error::other(error)), SETTINGS).unwrap()
    }

    #[test]
    fn each_says_what_to_do() {
        for (error, words) in [
            (CertificateError::UnknownIssuer, "name that authority's certificate with the.ca"),
            (CertificateError::Expired, "renew it there"),
            (CertificateError::NotValidYet, "clock"),
            (CertificateError::BadSignature, "the.ca"),
            (CertificateError::Revoked, "revoked"),
        ] {
            let said = said(error.into());
            assert!(said.starts_with("has a certificate ") && said.contains(words), "{said}");
        }
        for alert in [
            AlertDescription::CertificateRequired,
            AlertDescription::HandshakeFailure,
            AlertDescription::UnknownCA,
            AlertDescription::BadCertificate,
            AlertDescription::CertificateExpired,
        ] {
            let error = rustls::Error::AlertReceived(alert);
            assert!(said(error).contains("the.cert"), "{alert:?}");
        }
        assert_eq!(explain(&io::Error::other("elsewhere"), SETTINGS), None);
        assert_eq!(explain(&io::Error::from(io::ErrorKind::ConnectionReset), SETTINGS), None);
    }

    #[test]
    fn a_refusal_is_told_from_a_failure() {
        let refusal = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert!(is_refusal(&io::Error::other(refusal)));
        assert!(!is_refusal(&io::Error::other(rustls::Error::HandshakeNotComplete)));
        assert!(!is_refusal(&io::Error::from(io::ErrorKind::ConnectionReset)));
    }

    #[test]
    fn names_of_a_certificate_are_shown_plainly() {
        assert_eq!(plain_name("DnsName(\"chat.example\")"), "chat.example");
        assert_eq!(plain_name("IpAddress(10.0.0.7)"), "10.0.0.7");
        assert_eq!(plain_name("chat.example"), "chat.example");
    }
}
