//! `--https`: the certificate with which `dev` serves.
//!
//! Without files, a self-signed certificate is made for this machine's names and addresses, and kept for later starts
//! (`kept`). Browsers warn about it once, and other clients must be told to trust it. A certificate from
//! `--https-cert-path` is used as it is.

mod kept;
mod make;

use std::path::Path;

use partyrun_config::Host;
use partyrun_net::{Tls, TlsError};

use self::make::Hosts;
use crate::args::DevArgs;
use crate::output::Output;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpsError {
    #[error("{path}, named by `{flag}`, cannot be read: {error}")]
    File { flag: &'static str, path: String, error: std::io::Error },
    #[error("`--https-key-path` and `--https-cert-path`: {0}. Both must be PEM files.")]
    Given(TlsError),
    #[error(
        "A certificate could not be created: {0}. Name your own with `--https-key-path` and `--https-cert-path`."
    )]
    Made(String),
}

/// The identity that the flags ask for. Both paths ask for TLS as `--https` does, as in the original. `output` hears of
/// a certificate that cannot be kept.
pub(crate) fn identity(args: &DevArgs, host: Host, output: &Output) -> Result<Option<Tls>, HttpsError> {
    match (&args.https_cert_path, &args.https_key_path) {
        (Some(certificate), Some(key)) => {
            let certificate = read("--https-cert-path", certificate)?;
            let key = read("--https-key-path", key)?;
            Tls::from_pem(&certificate, &key).map(Some).map_err(HttpsError::Given)
        }
        _ if args.https => own(host, output).map(Some),
        _ => Ok(None),
    }
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, HttpsError> {
    std::fs::read(path).map_err(|error| HttpsError::File { flag, path: path.display().to_string(), error })
}

fn own(host: Host, output: &Output) -> Result<Tls, HttpsError> {
    let hosts = Hosts::of(host);
    let made = |error: rcgen::Error| HttpsError::Made(error.to_string());
    let pem = match kept::folder() {
        Some(folder) => {
            let kept = kept::pem(&folder, &hosts).map_err(made)?;
            if let Some(error) = kept.problem {
                let folder = folder.display();
                output.problem(&format!(
                    "The certificate for --https could not be saved in {folder}: {error}. \
                     Browsers will warn again after the next start."
                ));
            }
            kept.pem
        }
        None => make::pem(&hosts, make::today()).map_err(made)?,
    };
    Tls::from_pem(pem.as_bytes(), pem.as_bytes()).map_err(|error| HttpsError::Made(error.to_string()))
}
