//! One order: a name is proved, and a certificate comes back.

use std::sync::Arc;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, KeyAuthorization, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use partyrun_net::{Certificates, Identity, TlsError};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::Inner;
use crate::door::Tokens;
use crate::refusal::Refusal;
use crate::when;

/// What came of an order: the certificate, and the text of its key and chain.
pub(crate) struct Obtained {
    pub(crate) identity: Identity,
    pub(crate) key: String,
    pub(crate) chain: String,
}

/// What an authority finds while it looks, for as long as this lives.
enum Shown {
    Certificate(Arc<Certificates>, String),
    Token(Tokens, String),
}

impl Drop for Shown {
    fn drop(&mut self) {
        match self {
            Self::Certificate(certificates, name) => certificates.settle(name),
            Self::Token(tokens, token) => tokens.remove(token),
        }
    }
}

impl Inner {
    /// Obtains a certificate for a name, in place of `old` if the authority wants to know that.
    pub(crate) async fn obtain(&self, name: &str, old: Option<&Identity>) -> Result<Obtained, Refusal> {
        let result = self.try_challenges(name, old).await;
        match result {
            // An authority that was set up anew: the order is tried again with a new account.
            Err(refusal) if refusal.is_about_the_account() => {
                self.authority.forget_account(&self.store).await;
                self.try_challenges(name, old).await
            }
            result => result,
        }
    }

    async fn try_challenges(&self, name: &str, old: Option<&Identity>) -> Result<Obtained, Refusal> {
        let kinds = [(self.ports.tls, ChallengeType::TlsAlpn01), (self.ports.http, ChallengeType::Http01)];
        let mut refused: Option<Refusal> = None;
        for kind in kinds.into_iter().filter_map(|(possible, kind)| possible.then_some(kind)) {
            match self.order(name, old, &kind).await {
                Ok(obtained) => return Ok(obtained),
                // What is not about the challenge would be the same with another one.
                Err(Failed::Order(refusal)) => return Err(refusal),
                Err(Failed::Challenge(mut refusal)) => {
                    refusal.what = match refused {
                        Some(before) => {
                            format!("{}; then by {}: {}", before.what, shown(&kind), refusal.what)
                        }
                        None => format!("by {}: {}", shown(&kind), refusal.what),
                    };
                    refused = Some(refusal);
                }
            }
        }
        Err(refused.unwrap_or_else(|| {
            Refusal::seen("neither port 443 nor port 80 is listened on, where an authority looks")
        }))
    }

    async fn order(
        &self,
        name: &str,
        old: Option<&Identity>,
        kind: &ChallengeType,
    ) -> Result<Obtained, Failed> {
        let account = self.authority.account(&self.store).await?;
        let mut order = new_order(&account, name, old).await?;
        let _shown = self.answer(&mut order, kind).await?;
        let patience = RetryPolicy::default().timeout(self.limits.acme_order_time_max);
        match order.poll_ready(&patience).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => return Err(Failed::Challenge(why(&mut order).await)),
            Err(error) => {
                let seen = why(&mut order).await;
                let is_challenge = seen.what != UNEXPLAINED;
                return Err(if is_challenge {
                    Failed::Challenge(seen)
                } else {
                    Failed::Order(self.late(error))
                });
            }
        }
        let key = KeyPair::generate().map_err(broken)?;
        let mut params = CertificateParams::new([name.to_string()]).map_err(broken)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(broken)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&patience).await.map_err(|error| self.late(error))?;
        let key = key.serialize_pem();
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).map_err(unusable)?;
        if !identity.names().iter().any(|known| known == name) {
            return Err(Refusal::seen("its certificate is for other names").into());
        }
        Ok(Obtained { identity, key, chain })
    }

    fn late(&self, error: Error) -> Refusal {
        match error {
            Error::Timeout(_) => {
                let limit = self.limits.cite("acme_order_time_max");
                Refusal::seen(&format!("it did not decide in time ({limit})"))
            }
            error => error.into(),
        }
    }

    /// Shows what the authority is to find, and says that it is there.
    async fn answer(&self, order: &mut Order, kind: &ChallengeType) -> Result<Vec<Shown>, Failed> {
        let mut shown = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => {
                    return Err(
                        Refusal::seen(&format!("it holds the proof of the name to be {status:?}")).into()
                    );
                }
            }
            let Some(mut challenge) = authorization.challenge(kind.clone()) else {
                return Err(Failed::Challenge(Refusal::seen("it does not offer that challenge")));
            };
            let name = match &challenge.identifier().identifier {
                Identifier::Dns(name) => name.clone(),
                _ => return Err(Refusal::seen("it wants something proved that is no name of a host").into()),
            };
            let proof = challenge.key_authorization();
            shown.push(match kind {
                ChallengeType::TlsAlpn01 => {
                    let (certificate, key) = challenge_pair(&name, &proof)?;
                    self.certificates.challenge(&name, certificate, key).map_err(unusable)?;
                    Shown::Certificate(Arc::clone(&self.certificates), name)
                }
                _ => {
                    self.tokens.put(&challenge.token, proof.as_str());
                    Shown::Token(self.tokens.clone(), challenge.token.clone())
                }
            });
            challenge.set_ready().await?;
        }
        Ok(shown)
    }
}

const UNEXPLAINED: &str = "it refuses the order and does not say why";

/// What failed.
enum Failed {
    /// The proof: another kind may succeed.
    Challenge(Refusal),
    Order(Refusal),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Order(refusal)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Order(error.into())
    }
}

async fn new_order(account: &Account, name: &str, old: Option<&Identity>) -> Result<Order, Error> {
    let identifiers = [Identifier::Dns(name.to_string())];
    let replaced = old.and_then(Identity::certificate).and_then(when::identifier);
    if let Some(replaced) = replaced {
        // An authority that doesn't know the old one, or doesn't want to, gets a plain order.
        if let Ok(order) = account.new_order(&NewOrder::new(&identifiers).replaces(replaced)).await {
            return Ok(order);
        }
    }
    account.new_order(&NewOrder::new(&identifiers)).await
}

/// Why an order was refused: the authority says so of the challenge.
async fn why(order: &mut Order) -> Refusal {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Refusal::said(problem);
        }
    }
    Refusal::seen(UNEXPLAINED)
}

/// What is shown to an authority that connects by TLS-ALPN-01 (RFC 8737).
fn challenge_pair(
    name: &str,
    proof: &KeyAuthorization,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Failed> {
    let key = KeyPair::generate().map_err(broken)?;
    let mut params = CertificateParams::new([name.to_string()]).map_err(broken)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof.digest().as_ref())];
    let certificate = params.self_signed(&key).map_err(broken)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok((certificate.der().clone(), key))
}

fn shown(kind: &ChallengeType) -> &'static str {
    match kind {
        ChallengeType::TlsAlpn01 => "TLS-ALPN-01",
        _ => "HTTP-01",
    }
}

fn broken(error: rcgen::Error) -> Failed {
    Failed::Order(Refusal::seen(&format!("a key or a request cannot be made: {error}")))
}

fn unusable(error: TlsError) -> Failed {
    Failed::Order(Refusal::seen(&format!("what it gave cannot be used: {error}")))
}
