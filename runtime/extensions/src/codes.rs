//! The codes by which programs for Node tell what went wrong between them and another server: `ECONNREFUSED`, `ENOTFOUND` and
//! so on.
//! They are read from the errors themselves, never from their texts, and reach JavaScript as the property `code` of an error.

use std::error::Error;
use std::fmt;
use std::io;

use deno_core::{Canceled, OpState, ResourceId, op2};
use deno_error::JsErrorBox;
use deno_fetch::{ClientSendError, FetchError, FetchRequestResource};
use deno_tls::rustls::{CertificateError, Error as TlsError};

use crate::outbound::{NoAddress, Refused, is_restricted, judge_request};

/// An error with a code.
#[derive(Debug, deno_error::JsError)]
#[class(generic)]
#[property("code" = self.code())]
struct Coded {
    code: &'static str,
    message: String,
}

impl Coded {
    fn code(&self) -> &'static str {
        self.code
    }
}

impl fmt::Display for Coded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for Coded {}

/// An error for JavaScript with the property `code`.
pub(crate) fn coded(code: &'static str, message: String) -> JsErrorBox {
    JsErrorBox::from_err(Coded { code, message })
}

/// The code of an error, or of the first of its causes that has one.
pub(crate) fn code_of(error: &(dyn Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        let inner = io.and_then(io::Error::get_ref).map(|inner| inner as &(dyn Error + 'static));
        if let Some(code) = inner.and_then(code_itself).or_else(|| code_itself(error)) {
            return code;
        }
        if let Some(code) = io.and_then(|io| code_of_kind(io.kind())) {
            return code;
        }
        // Before its source: that of an error of the system is the source of the error inside of it.
        next = inner.or_else(|| error.source());
    }
    "ECONNRESET"
}

fn code_itself(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if error.is::<NoAddress>() {
        return Some("ENOTFOUND");
    }
    // What the operator does not allow, as the code of the system is for what it does not allow.
    if error.is::<Refused>() {
        return Some("EACCES");
    }
    Some(match error.downcast_ref::<TlsError>()? {
        TlsError::InvalidCertificate(problem) => match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "CERT_HAS_EXPIRED",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "CERT_NOT_YET_VALID"
            }
            CertificateError::Revoked => "CERT_REVOKED",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "ERR_TLS_CERT_ALTNAME_INVALID"
            }
            _ => "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        },
        _ => "EPROTO",
    })
}

/// The code of a failure of the system, if Node has one for it.
pub(crate) fn code_of_kind(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => "ECONNREFUSED",
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => "ECONNRESET",
        io::ErrorKind::BrokenPipe => "EPIPE",
        io::ErrorKind::TimedOut => "ETIMEDOUT",
        io::ErrorKind::HostUnreachable => "EHOSTUNREACH",
        io::ErrorKind::NetworkUnreachable => "ENETUNREACH",
        _ => return None,
    })
}

// What deno_fetch would tell of the failure as the cause of its own error.
fn cause_of(error: &ClientSendError) -> String {
    let hyper = error.source.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
    hyper.and_then(Error::source).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Lets the failure of a request keep its code: deno_fetch tells JavaScript a text only. A request that the operator does not
/// allow fails here, before it is sent. Answers the request's new number.
#[op2(fast)]
#[smi]
pub(crate) fn op_request_coded(
    state: &mut OpState,
    #[smi] request: ResourceId,
) -> Result<ResourceId, JsErrorBox> {
    let taken = state.resource_table.take::<FetchRequestResource>(request).map_err(JsErrorBox::from_err)?;
    let Ok(FetchRequestResource { future, url }) = std::rc::Rc::try_unwrap(taken) else {
        return Err(JsErrorBox::generic("The request is being sent already."));
    };
    let judged = is_restricted().then(|| url.clone());
    let future = Box::pin(async move {
        if let Some(url) = judged
            && let Err(error) = judge_request(&url).await
        {
            return Ok::<_, Canceled>(Err(FetchError::Other(coded(code_of(&error), error.to_string()))));
        }
        Ok::<_, Canceled>(match future.await? {
            Err(FetchError::ClientSend(error)) => {
                Err(FetchError::Other(coded(code_of(&error.source), cause_of(&error))))
            }
            other => other,
        })
    });
    Ok(state.resource_table.add(FetchRequestResource { future, url }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_causes_and_in_errors_of_the_system() {
        let altname = TlsError::InvalidCertificate(CertificateError::NotValidForName);
        for (error, code) in [
            (io::Error::from(io::ErrorKind::ConnectionRefused), "ECONNREFUSED"),
            (io::Error::other(NoAddress(io::Error::other("whatever it says"))), "ENOTFOUND"),
            (io::Error::new(io::ErrorKind::InvalidData, altname), "ERR_TLS_CERT_ALTNAME_INVALID"),
            (io::Error::other("refused"), "ECONNRESET"),
            (io::Error::other(io::Error::from(io::ErrorKind::TimedOut)), "ETIMEDOUT"),
        ] {
            assert_eq!(code_of(&error), code, "{error:?}");
        }
    }
}
