//! What is known of a bucket before anything is asked: its address, and the variables that every S3 client reads.

use rusty_s3::{Credentials, UrlStyle};
use url::Url;

use super::SCHEME;
use crate::BackupError;

const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
const TOKEN: &str = "AWS_SESSION_TOKEN";
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "AWS_CA_BUNDLE"];
/// Servers other than Amazon's have one region, which most of them call so.
const REGION: &str = "us-east-1";

/// Where and who.
pub(super) struct Settings {
    pub(super) bucket: rusty_s3::Bucket,
    pub(super) credentials: Credentials,
    /// Empty, or it ends with `/`.
    pub(super) prefix: String,
    /// Files with certificates that are trusted besides Mozilla's, each with the variable that names it.
    pub(super) certificates: Vec<(&'static str, String)>,
}

/// Reads an address and the variables.
pub(super) fn read(place: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Settings, BackupError> {
    let refused = |what: String| BackupError::Address { address: place.to_owned(), what };
    // An empty variable is one that is not set.
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let first = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| variable(name).map(|value| (name, value)))
    };
    let rest = place.strip_prefix(SCHEME).unwrap_or(place);
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if !(3..=63).contains(&name.len()) || !name.bytes().all(is_fit) || name.starts_with('.') {
        return Err(refused(
            "write it as `s3://BUCKET/PREFIX`; a bucket's name has 3 to 63 letters, digits, `.` and `-`"
                .to_owned(),
        ));
    }
    let prefix = prefix.trim_end_matches('/');
    let has_odd_part = prefix.split('/').any(|part| matches!(part, "" | "." | ".."));
    if !prefix.is_empty() && has_odd_part || prefix.chars().any(char::is_control) {
        return Err(refused("its path must not have empty parts, `.` or `..`".to_owned()));
    }
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let missing: Vec<_> = KEYS.into_iter().filter(|name| variable(name).is_none()).collect();
    let [Some(key), Some(secret)] = KEYS.map(&variable) else {
        let are = if missing.len() == 1 { "is" } else { "are" };
        return Err(refused(format!(
            "{} {are} not set: the keys of S3 storage come from these variables of the environment",
            missing.join(" and ")
        )));
    };
    let region = first(REGIONS).map_or_else(|| REGION.to_owned(), |(_, region)| region);
    let (endpoint, style) = match first(ENDPOINTS) {
        Some((variable, text)) => {
            let url: Result<Url, _> = text.parse();
            let url =
                url.map_err(|error| refused(format!("{variable} is {text:?}, which is no URL ({error})")))?;
            (url, UrlStyle::Path)
        }
        None => amazon(&region, name).ok_or_else(|| refused(format!("{region:?} is no region of AWS")))?,
    };
    let bucket = rusty_s3::Bucket::new(endpoint, style, name.to_owned(), region).map_err(|error| {
        refused(format!("no URL can be made of it ({error:?}); see {}", ENDPOINTS.join(" and ")))
    })?;
    let credentials = match variable(TOKEN) {
        Some(token) => Credentials::new_with_token(key, secret, token),
        None => Credentials::new(key, secret),
    };
    let certificates =
        CERTIFICATES.into_iter().filter_map(|name| variable(name).map(|file| (name, file))).collect();
    Ok(Settings { bucket, credentials, prefix, certificates })
}

// Amazon's certificates hold for one label before the region, and host names have no capitals.
fn amazon(region: &str, bucket: &str) -> Option<(Url, UrlStyle)> {
    let is_region = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let end = if region.starts_with("cn-") { "com.cn" } else { "com" };
    let url = format!("https://s3.{region}.amazonaws.{end}").parse().ok().filter(|_| is_region)?;
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    Some((url, if bucket.bytes().all(is_label) { UrlStyle::VirtualHost } else { UrlStyle::Path }))
}
