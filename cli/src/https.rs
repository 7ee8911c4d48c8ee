//! `--https`: the certificate with which `dev` serves.
//!
//! Without files one is made at each start, for this machine's names and addresses. Nobody trusts it: browsers ask
//! once, clients must be told. A certificate of `--https-cert-path` is used as it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use chrono::{Datelike, Days, NaiveDate, Utc};
use partyrun_net::{Tls, TlsError};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};

use crate::args::DevArgs;
use crate::banner;

/// Browsers refuse certificates that are valid for longer than 825 days.
const VALID_DAYS: u64 = 365;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpsError {
    #[error("{path}, named by `{flag}`, cannot be read: {error}")]
    File { flag: &'static str, path: String, error: std::io::Error },
    #[error("`--https-key-path` and `--https-cert-path`: {0}. Both must be PEM files.")]
    Given(TlsError),
    #[error("No certificate can be made: {0}. Name files with `--https-key-path` and `--https-cert-path`.")]
    Made(String),
}

/// The identity that the flags ask for. Both paths ask for TLS as `--https` does, as in the original.
pub(crate) fn identity(args: &DevArgs, host: IpAddr) -> Result<Option<Tls>, HttpsError> {
    match (&args.https_cert_path, &args.https_key_path) {
        (Some(certificate), Some(key)) => {
            let certificate = read("--https-cert-path", certificate)?;
            let key = read("--https-key-path", key)?;
            Tls::from_pem(&certificate, &key).map(Some).map_err(HttpsError::Given)
        }
        _ if args.https => make(host).map(Some),
        _ => Ok(None),
    }
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, HttpsError> {
    std::fs::read(path).map_err(|error| HttpsError::File { flag, path: path.display().to_string(), error })
}

fn make(host: IpAddr) -> Result<Tls, HttpsError> {
    let unmade = |error: rcgen::Error| HttpsError::Made(error.to_string());
    let names = ["localhost".to_string(), "*.localhost".to_string()];
    let mut params = CertificateParams::new(names).map_err(unmade)?;
    let lan = host.is_unspecified().then(banner::lan_address).flatten();
    let here = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let addresses = here.into_iter().chain(lan).chain((!host.is_unspecified()).then_some(host));
    params.subject_alt_names.extend(addresses.map(SanType::IpAddress));
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "partyrun dev");
    params.distinguished_name = subject;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = Utc::now().date_naive();
    let midnight = |day: NaiveDate| rcgen::date_time_ymd(day.year(), day.month() as u8, day.day() as u8);
    // A day earlier, for clients whose clock is behind.
    params.not_before = midnight(today - Days::new(1));
    params.not_after = midnight(today + Days::new(VALID_DAYS));
    let key = KeyPair::generate().map_err(unmade)?;
    let certificate = params.self_signed(&key).map_err(unmade)?;
    let identity = Tls::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
    identity.map_err(|error| HttpsError::Made(error.to_string()))
}
