//! Makes a self-signed certificate and its key, for the names under which this machine serves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{Datelike, Days, NaiveDate, Utc};
use partyrun_config::Host;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};

use crate::banner;

/// Browsers refuse certificates that are valid for longer than 825 days.
pub(super) const VALID_DAYS: u64 = 365;

/// Every machine's own addresses.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// What a certificate names: `localhost`, the loopback addresses, and another one where the server can be reached there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hosts {
    other: Option<IpAddr>,
}

impl Hosts {
    /// For a server that listens on this address. All addresses mean the one in the network, if there is one.
    pub(super) fn of(host: Host) -> Self {
        let other = match host {
            Host::Address(address) if !address.is_unspecified() => Some(address),
            Host::Localhost => None,
            Host::All | Host::Address(_) => banner::lan_address(),
        };
        Self { other: other.filter(|address| !LOOPBACK.contains(address)) }
    }

    /// All addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        LOOPBACK.into_iter().chain(self.other)
    }

    /// Names these hosts in one file's name.
    pub(super) fn label(&self) -> String {
        self.other.map_or_else(|| "localhost".to_string(), |address| address.to_string())
    }
}

/// The day it is.
pub(super) fn today() -> NaiveDate {
    Utc::now().date_naive()
}

/// A key and the certificate that belongs to it, in PEM form, made on this day.
pub(super) fn pem(hosts: &Hosts, day: NaiveDate) -> Result<String, rcgen::Error> {
    let names = ["localhost".to_string(), "*.localhost".to_string()];
    let mut params = CertificateParams::new(names)?;
    params.subject_alt_names.extend(hosts.addresses().map(SanType::IpAddress));
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "partyrun dev");
    params.distinguished_name = subject;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let midnight = |day: NaiveDate| rcgen::date_time_ymd(day.year(), day.month() as u8, day.day() as u8);
    // A day earlier, for clients whose clock is behind.
    params.not_before = midnight(day - Days::new(1));
    params.not_after = midnight(day + Days::new(VALID_DAYS));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}
