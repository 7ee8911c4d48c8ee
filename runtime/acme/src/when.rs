//! When a certificate is renewed.
//!
//! Where the authority says when (RFC 9773), at a moment in its window; else when a third of the lifetime is left,
//! whatever that is. After a failure the next attempt comes later each time, by an amount that is partly chance.

use std::time::{Duration, SystemTime};

use instant_acme::{CertificateIdentifier, SuggestedWindow};
use partyrun_limits::Limits;
use tokio_rustls::rustls::pki_types::{CertificateDer, Der};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

/// The authority is asked again for its window no sooner and no later than that.
const ASK_AGAIN_MIN: Duration = Duration::from_secs(60);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// When a certificate is due that is valid from and until then.
pub(crate) fn due((begins, ends): (SystemTime, SystemTime)) -> SystemTime {
    let lifetime = ends.duration_since(begins).unwrap_or_default();
    ends.checked_sub(lifetime / 3).unwrap_or(begins)
}

/// A moment in the window that the authority suggests; none if the window is nonsense, or ends after the certificate does.
pub(crate) fn suggested(window: &SuggestedWindow, ends: SystemTime, chance: f64) -> Option<SystemTime> {
    let time =
        |seconds: i64| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?));
    let (first, last) = (time(window.start.unix_timestamp())?, time(window.end.unix_timestamp())?);
    let length = last.duration_since(first).ok()?;
    let moment = first.checked_add(length.mul_f64(chance.clamp(0.0, 1.0)))?;
    (moment < ends).then_some(moment)
}

/// What an authority calls a certificate (RFC 9773, section 4.1): who signed it, by its key, and its serial number. None where
/// the certificate doesn't say whose key that is.
pub(crate) fn identifier(certificate: &CertificateDer<'_>) -> Option<CertificateIdentifier<'static>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let signer = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(signer) => signer.key_identifier.as_ref(),
        _ => None,
    })?;
    let serial = parsed.tbs_certificate.raw_serial();
    Some(CertificateIdentifier::new(Der::from_slice(signer.0), Der::from_slice(serial)))
}

/// When the authority is asked again for its window.
pub(crate) fn ask_again(said: Duration) -> Duration {
    said.clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX)
}

/// How long to wait after so many failures in a row; `chance` is between 0 and 1.
pub(crate) fn patience(failures: u32, chance: f64, limits: &Limits) -> Duration {
    let doubled = limits.acme_retry_after.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let whole = doubled.min(limits.acme_retry_max.max(limits.acme_retry_after));
    whole.mul_f64(chance.clamp(0.0, 1.0).mul_add(0.5, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_third_of_any_lifetime_is_left() {
        for lifetime in [90 * 86_400, 6 * 86_400, 90 * 60, 9] {
            assert_eq!(due((at(1000), at(1000 + lifetime))), at(1000 + lifetime / 3 * 2));
        }
        // One that ends before it begins is due at its end.
        assert_eq!(due((at(1000), at(10))), at(10));
    }

    #[test]
    fn the_window_of_the_authority_decides_unless_it_is_nonsense() {
        let window = |start: &str, end: &str| {
            serde_json::from_value::<SuggestedWindow>(serde_json::json!({ "start": start, "end": end }))
                .unwrap()
        };
        let plain = window("1970-01-01T00:10:00Z", "1970-01-01T00:20:00Z");
        assert_eq!(suggested(&plain, at(3000), 0.0), Some(at(600)));
        assert_eq!(suggested(&plain, at(3000), 0.5), Some(at(900)));
        assert_eq!(suggested(&plain, at(3000), 1.0), Some(at(1200)));
        assert_eq!(suggested(&plain, at(900), 1.0), None);
        let backwards = window("1970-01-01T00:20:00Z", "1970-01-01T00:10:00Z");
        assert_eq!(suggested(&backwards, at(3000), 0.5), None);
        assert_eq!(suggested(&window("1950-01-01T00:00:00Z", "1950-01-02T00:00:00Z"), at(3000), 0.5), None);
    }

    #[test]
    fn the_pause_grows_and_never_vanishes() {
        let limits = Limits {
            acme_retry_after: Duration::from_secs(60),
            acme_retry_max: Duration::from_secs(3600),
            ..Limits::default()
        };
        let pauses: Vec<u64> = (1..=8).map(|failures| patience(failures, 1.0, &limits).as_secs()).collect();
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(patience(1, 0.0, &limits), Duration::from_secs(30));
        assert_eq!(patience(u32::MAX, 0.0, &limits), Duration::from_secs(1800));
        assert_eq!(ask_again(Duration::ZERO), ASK_AGAIN_MIN);
        assert_eq!(ask_again(Duration::MAX), ASK_AGAIN_MAX);
    }
}
