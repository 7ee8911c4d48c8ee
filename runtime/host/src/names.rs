//! Names of projects and previews, and which of them a `Host` header means.
//!
//! A project's name is one label of DNS, so that it can stand before the host's domain: lower case letters, digits and
//! hyphens. Names that differ by case only are one name, because DNS knows no case.

use std::fmt;

/// What a label of DNS may have.
const LABEL_BYTES_MAX: usize = 63;
/// Labels that a host may need itself, or that people take for something official.
const RESERVED: &[&str] =
    &["api", "www", "admin", "host", "mail", "localhost", "partyrun", "_acme-challenge"];

/// Why a name cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is no label of DNS.
    #[error(
        "`{0}` is no name for a {1}: use lower case letters, digits and hyphens, at most 63, with a letter or digit at both ends"
    )]
    Label(String, &'static str),
    /// It is kept back.
    #[error("The name `{0}` is reserved: choose another one")]
    Reserved(String),
    /// It is no name of a domain.
    #[error("`{0}` is no domain: write a name such as `chat.example.com`")]
    Domain(String),
    /// It is below the host's own domain.
    #[error(
        "`{0}` is below the host's own domain: projects get their names there from `--name` and `--preview`"
    )]
    OwnDomain(String),
}

/// A project, or one of its previews.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The project's name.
    pub project: String,
    /// The preview's name; none for the project itself.
    pub preview: Option<String>,
}

impl Address {
    /// The address with these names, if they are some.
    pub fn new(project: &str, preview: Option<&str>) -> Result<Self, NameError> {
        let project = label(project, "project")?;
        if RESERVED.contains(&project.as_str()) {
            return Err(NameError::Reserved(project));
        }
        let preview = preview.map(|preview| label(preview, "preview")).transpose()?;
        Ok(Self { project, preview })
    }

    /// The name of its folder. `@` is in no label.
    pub fn folder(&self) -> String {
        match &self.preview {
            None => self.project.clone(),
            Some(preview) => format!("{}@{preview}", self.project),
        }
    }

    /// The host name below a domain.
    pub fn below(&self, domain: &str) -> String {
        match &self.preview {
            None => format!("{}.{domain}", self.project),
            Some(preview) => format!("{preview}.{}.{domain}", self.project),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.preview {
            None => formatter.write_str(&self.project),
            Some(preview) => write!(formatter, "{} (preview: {preview})", self.project),
        }
    }
}

fn is_label(text: &str) -> bool {
    let is_part = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !text.is_empty()
        && text.len() <= LABEL_BYTES_MAX
        && text.bytes().all(is_part)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn label(text: &str, what: &'static str) -> Result<String, NameError> {
    let lower = text.to_ascii_lowercase();
    // A name in another case would be served under a name that nobody typed.
    if lower != text || !is_label(text) {
        let shown = text.chars().take(LABEL_BYTES_MAX + 1).flat_map(char::escape_default).collect();
        return Err(NameError::Label(shown, what));
    }
    Ok(lower)
}

/// A domain in the form in which it is compared: lower case, and without the dot at its end.
pub fn domain(text: &str) -> Result<String, NameError> {
    const DOMAIN_BYTES_MAX: usize = 253;
    let lower = text.trim_end_matches('.').to_ascii_lowercase();
    let labels = lower.split('.').count();
    let is_number =
        lower.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if labels < 2 || is_number || lower.len() > DOMAIN_BYTES_MAX || !lower.split('.').all(is_label) {
        return Err(NameError::Domain(text.chars().take(80).flat_map(char::escape_default).collect()));
    }
    Ok(lower)
}

/// A project's own domain: one that is not below the host's.
pub(crate) fn own_domain(text: &str, host: &str) -> Result<String, NameError> {
    let domain = domain(text)?;
    if domain == host || domain.ends_with(&format!(".{host}")) {
        return Err(NameError::OwnDomain(domain));
    }
    Ok(domain)
}

/// The name in a `Host` header, without its port, in lower case.
pub(crate) fn host_of(header: &str) -> String {
    let name = match header.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => header,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Where a request goes, as its host name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To the host itself: its API.
    Host,
    /// To a project or preview of this name, which may not exist.
    Project(Address),
    /// To whoever has this domain.
    Domain(String),
    /// The name below the host's domain is none that a project can have.
    Nowhere,
}

/// What a name means on a host of this domain.
pub(crate) fn place(name: &str, domain: &str) -> Place {
    if name == domain {
        return Place::Host;
    }
    let Some(before) = name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.')) else {
        return Place::Domain(name.to_string());
    };
    let (preview, project) = match before.split_once('.') {
        None => (None, before),
        Some((preview, project)) => (Some(preview), project),
    };
    Address::new(project, preview).map_or(Place::Nowhere, Place::Project)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_of_dns() {
        for good in ["a", "chat", "pr-7", "0", &"a".repeat(63)] {
            assert!(Address::new(good, Some(good)).is_ok(), "{good}");
        }
        for wrong in ["", "-a", "a-", "A", "chat.b", "a_b", "é", "../x", "a/b", "a\0", &"a".repeat(64)] {
            assert!(matches!(Address::new(wrong, None), Err(NameError::Label(..))), "{wrong}");
            assert!(Address::new("chat", Some(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(Address::new("api", None), Err(NameError::Reserved("api".to_string())));
        assert!(Address::new("chat", Some("api")).is_ok(), "a preview takes no name of the host");
    }

    #[test]
    fn a_host_name_means_one_place() {
        let at = |name: &str| place(&host_of(name), "party.test");
        let of = |project: &str, preview| Place::Project(Address::new(project, preview).unwrap());
        assert_eq!(at("party.test"), Place::Host);
        assert_eq!(at("PARTY.test.:80"), Place::Host);
        assert_eq!(at("Chat.Party.Test:8080"), of("chat", None));
        assert_eq!(at("pr-7.chat.party.test"), of("chat", Some("pr-7")));
        assert_eq!(at("a.pr-7.chat.party.test"), Place::Nowhere);
        assert_eq!(at("www.party.test"), Place::Nowhere);
        assert_eq!(at("notparty.test"), Place::Domain("notparty.test".to_string()));
        assert_eq!(at("127.0.0.1:80"), Place::Domain("127.0.0.1".to_string()));
        assert_eq!(at(""), Place::Domain(String::new()));
    }

    #[test]
    fn domains_are_compared_in_one_form() {
        assert_eq!(own_domain("Chat.Example.com.", "party.test").as_deref(), Ok("chat.example.com"));
        assert!(matches!(own_domain("x.party.test", "party.test"), Err(NameError::OwnDomain(_))));
        for wrong in ["", "localhost", "127.0.0.1", "a..b", "*.example.com", "-.com", "a b.com"] {
            assert!(matches!(own_domain(wrong, "party.test"), Err(NameError::Domain(_))), "{wrong}");
        }
    }
}
