//! Why there is no certificate: what the authority said, and what to do about it.

use instant_acme::{Error, Problem};

/// The beginning of every kind of problem that the protocol names.
const KINDS: &str = "urn:ietf:params:acme:error:";
/// Of what an authority says, more than that is not repeated.
const CHARS_MAX: usize = 400;

/// An order that did not succeed.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What was said or seen, in one line.
    pub(crate) what: String,
    /// What kind of problem the authority named.
    kind: Option<String>,
}

impl Refusal {
    /// One that the authority did not name.
    pub(crate) fn seen(what: &str) -> Self {
        Self { what: line(what), kind: None }
    }

    /// A problem that the authority named.
    pub(crate) fn said(problem: &Problem) -> Self {
        let kind = problem.r#type.as_deref().map(|kind| kind.strip_prefix(KINDS).unwrap_or(kind).to_string());
        let parts = problem.subproblems.iter().filter_map(|part| part.detail.as_deref());
        let details: Vec<&str> = problem.detail.as_deref().into_iter().chain(parts).collect();
        let kind_shown = kind.as_deref().unwrap_or("no kind of problem named");
        let what = match details.is_empty() {
            true => format!("it said `{}`", line(kind_shown)),
            false => format!("it said: {} ({})", line(&details.join("; ")), line(kind_shown)),
        };
        Self { what, kind }
    }

    /// Whether the authority doesn't know the account.
    pub(crate) fn is_about_the_account(&self) -> bool {
        self.kind.as_deref() == Some("accountDoesNotExist")
    }

    /// What to do about it.
    pub(crate) fn advice(&self, name: &str) -> String {
        match self.kind.as_deref() {
            Some("unauthorized" | "connection" | "tls" | "incorrectResponse" | "dns") => format!(
                "Check that the DNS of {name} leads to this machine, and that its ports 443 and 80 can be reached from outside."
            ),
            Some("rateLimited") => {
                "Wait: the authority grants no more for now. Keep the data folder, so that no start asks anew.".to_string()
            }
            Some("caa") => format!("Allow this authority in the CAA record of {name}."),
            Some("rejectedIdentifier" | "unsupportedIdentifier") => {
                "This authority gives no certificate for that name: choose another name, or another authority (`--acme-directory`)."
                    .to_string()
            }
            Some("invalidContact" | "unsupportedContact") => "Check `--acme-email`.".to_string(),
            Some("externalAccountRequired") => {
                "This authority wants an account that was made elsewhere, which partyrun cannot use.".to_string()
            }
            Some("accountDoesNotExist") => "A new account is opened.".to_string(),
            Some("serverInternal") => "That is the authority's to mend.".to_string(),
            _ => "Check `--acme-directory` and `--acme-ca`, and that this machine reaches the authority.".to_string(),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::said(&problem),
            Error::Json(error) => Self::seen(&format!("its answer is no ACME: {error}")),
            Error::Other(error) => {
                // The cause of a failed connection is the interesting part.
                let mut text = error.to_string();
                let mut source = error.source();
                while let Some(cause) = source {
                    text = format!("{text}: {cause}");
                    source = cause.source();
                }
                Self::seen(&text)
            }
            error => Self::seen(&error.to_string()),
        }
    }
}

// In one line, of bounded length, and without what a terminal would obey.
fn line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect();
    let cut = if text.chars().count() > CHARS_MAX { "..." } else { "" };
    format!("{}{cut}", plain.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: serde_json::Value) -> Refusal {
        Refusal::from(Error::Api(serde_json::from_value(json).unwrap()))
    }

    #[test]
    fn a_refusal_is_one_line_that_says_what_to_do() {
        let kind = |name: &str| format!("urn:ietf:params:acme:error:{name}");
        let refused = problem(
            serde_json::json!({ "type": kind("caa"), "detail": "CAA\nforbids\u{1b}[31m", "status": 403 }),
        );
        assert_eq!(refused.what, "it said: CAA forbids [31m (caa)");
        assert!(refused.advice("a.example").contains("CAA record of a.example"));
        let refused = problem(serde_json::json!({ "type": kind("dns"), "detail": "x".repeat(5000) }));
        assert!(refused.what.len() < 500 && refused.advice("a.example").contains("the DNS of a.example"));
        let refused = problem(serde_json::json!({}));
        assert!(
            refused.what.contains("no kind of problem") && refused.advice("a").contains("--acme-directory")
        );
        assert!(problem(serde_json::json!({ "type": kind("accountDoesNotExist") })).is_about_the_account());
    }
}
