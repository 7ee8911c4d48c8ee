//! Why connections cannot be secured: what is wrong with certificates in files, with names, or with the authority that is asked.

use partyrun_acme::{AcmeError, NameError};
use partyrun_net::TlsError;

use super::files::FileError;

/// Why connections cannot be secured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecureError {
    #[error("{0}")]
    File(#[from] FileError),
    #[error("There must be as many `--tls-key` as `--tls-cert`: {certificates} certificates, {keys} keys.")]
    Count { certificates: usize, keys: usize },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] TlsError),
    #[error("`--acme`: {0}.")]
    Acme(#[from] AcmeError),
    #[error("`--domain`: {0}.")]
    Name(#[from] NameError),
    #[error("`--acme-ca`: {path} cannot be read: {error}")]
    Roots { path: String, error: std::io::Error },
    #[error(
        "`--acme` needs a data folder, where accounts and certificates are kept: remove `--persist false`."
    )]
    Folder,
}
