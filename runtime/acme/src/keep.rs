//! The task of one name: its certificate is loaded, obtained when it is due, and shown. It ends with the name.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use partyrun_net::Identity;
use tokio::sync::watch;

use crate::Inner;
use crate::refusal::Refusal;
use crate::{label, when};

/// The clock is looked at again after this time at most: it may be set, or the machine may sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(15 * 60);

/// Keeps the certificate of a name. `tried` becomes true when there is one, or the first attempt has failed.
pub(crate) async fn keep(inner: Arc<Inner>, name: String, tried: watch::Sender<bool>) {
    let mut current = inner.store.certificate(&name).filter(|known| known.names().contains(&name));
    if let Some(known) = &current
        && known.valid().1 > SystemTime::now()
    {
        inner.certificates.put(&label(&name), known.clone());
        tried.send_replace(true);
    }
    let (mut failures, mut hasty, mut obtained_at) = (0, 0, None::<Instant>);
    loop {
        if let Some(known) = &current {
            inner.wait_until_due(known).await;
        }
        match inner.renew(&name, current.as_ref()).await {
            Ok(identity) => {
                failures = 0;
                inner.certificates.put(&label(&name), identity.clone());
                current = Some(identity);
                tried.send_replace(true);
                // One that is due at once, by the authority's word or by a short life, must not become a flood of orders.
                let is_hasty = obtained_at.is_some_and(|at| at.elapsed() < inner.limits.acme_retry_max);
                (hasty, obtained_at) = (if is_hasty { hasty + 1 } else { 1 }, Some(Instant::now()));
                tokio::time::sleep(when::patience(hasty, fastrand::f64(), &inner.limits)).await;
            }
            Err(refusal) => {
                failures += 1;
                let pause = when::patience(failures, fastrand::f64(), &inner.limits);
                inner.tell_of(&name, current.as_ref(), &refusal, pause);
                tried.send_replace(true);
                tokio::time::sleep(pause).await;
            }
        }
    }
}

impl Inner {
    /// Obtains a certificate and keeps it.
    async fn renew(&self, name: &str, old: Option<&Identity>) -> Result<Identity, Refusal> {
        // The semaphore is never closed.
        let _place = self.orders.acquire().await;
        let ended = old.filter(|old| old.valid().1 > SystemTime::now());
        let obtained = self.obtain(name, ended).await?;
        let kept = self.store.keep_certificate(name, &obtained.key, &obtained.chain);
        let host = self.authority.host();
        (self.tell)(
            false,
            &format!("{host} gave a certificate for {name}, valid for {}.", left(&obtained.identity)),
        );
        if let Err(error) = kept {
            (self.tell)(
                true,
                &format!("The certificate for {name} cannot be kept: {error}. The next start asks anew."),
            );
        }
        Ok(obtained.identity)
    }

    /// Waits until a certificate is to be renewed: when the authority says so, else when a third of its life is left.
    async fn wait_until_due(&self, known: &Identity) {
        let (chance, due) = (fastrand::f64(), when::due(known.valid()));
        // The authority need not be asked while there is much time: it is asked at once, and when it says.
        let (mut at, mut ask_at) = (due, SystemTime::now());
        loop {
            let now = SystemTime::now();
            if at <= now {
                return;
            }
            if ask_at <= now {
                let (suggested, again) = self.suggestion(known, chance).await;
                at = suggested.unwrap_or(due);
                ask_at = now + again;
                continue;
            }
            let left = at.min(ask_at).duration_since(now).unwrap_or_default();
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
        }
    }

    /// What the authority says about when, if it says anything, and when to ask it again.
    async fn suggestion(&self, known: &Identity, chance: f64) -> (Option<SystemTime>, Duration) {
        let told = async {
            let certificate = when::identifier(known.certificate()?)?;
            let account = self.authority.account(&self.store).await.ok()?;
            account.renewal_info(&certificate).await.ok()
        };
        match told.await {
            Some((said, again)) => {
                (when::suggested(&said.suggested_window, known.valid().1, chance), when::ask_again(again))
            }
            None => (None, when::ask_again(Duration::MAX)),
        }
    }

    fn tell_of(&self, name: &str, current: Option<&Identity>, refusal: &Refusal, pause: Duration) {
        let served = match current {
            Some(known) if known.valid().1 > SystemTime::now() => {
                format!(" The one that is valid for {} more is served until then.", left(known))
            }
            _ => String::new(),
        };
        let text = format!(
            "No certificate for {name} from {}: {}. {} The next attempt is in {}.{served}",
            self.authority.host(),
            refusal.what,
            refusal.advice(name),
            time(pause),
        );
        (self.tell)(true, &text);
    }
}

fn left(identity: &Identity) -> String {
    time(identity.valid().1.duration_since(SystemTime::now()).unwrap_or_default())
}

// In the largest unit of which there are two.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    match units.into_iter().find(|(length, _)| seconds >= 2 * length) {
        Some((length, name)) => format!("{} {name}", seconds / length),
        None => format!("{:.0} seconds", time.as_secs_f64().ceil()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use instant_acme::{Account, BodyWrapper, BytesResponse, Error, HttpClient};
    use partyrun_limits::Limits;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;
    use crate::{Acme, Ports, Settings};

    /// An authority that says when to renew, in the words of RFC 9773.
    struct Suggests(&'static str, &'static str);

    impl HttpClient for Suggests {
        fn request(
            &self,
            request: Request<BodyWrapper<Bytes>>,
        ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
            let url = |name: &str| format!("https://authority.test/{name}");
            let text = match request.uri().path() {
                "/directory" => serde_json::json!({
                    "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"),
                    "revokeCert": url("revoke"), "keyChange": url("change"), "renewalInfo": url("renewal"),
                }),
                path => {
                    // The key that signed it and its number, each in base64.
                    let id = path.strip_prefix("/renewal/").unwrap();
                    assert!(id.split('.').filter(|part| part.len() > 10).count() == 2, "{id}");
                    serde_json::json!({ "suggestedWindow": { "start": self.0, "end": self.1 } })
                }
            };
            let answer = Response::builder().header("retry-after", "3600");
            let answer = answer.body(Full::new(Bytes::from(text.to_string()))).unwrap();
            Box::pin(std::future::ready(Ok(BytesResponse::from(answer))))
        }
    }

    // A certificate that is valid for a year.
    fn signed() -> Identity {
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut params = CertificateParams::new(["a.test".to_string()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.not_after = rcgen::date_time_ymd(4000, 1, 1);
        let made = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        Identity::from_pem(made.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn the_authority_says_when_to_renew() {
        let folder = tempfile::tempdir().unwrap();
        let known = signed();
        let acme = |window: Suggests| {
            let settings = Settings {
                directory: "https://authority.test/directory".to_string(),
                roots: None,
                email: None,
                folder: folder.path().to_path_buf(),
                ports: Ports { tls: true, http: true },
            };
            let acme = Acme::new(settings, Arc::default(), &Limits::default(), Arc::new(|_, _| {})).unwrap();
            async move {
                let key = KeyPair::generate().unwrap().serialize_der();
                let builder = Account::builder_with_http(Box::new(window));
                let directory = "https://authority.test/directory".to_string();
                let account = builder.from_parts("1".to_string(), key.as_slice().into(), directory).await;
                acme.0.authority.open(account.unwrap()).await;
                acme
            }
        };
        // It is due by what is left of its life in a thousand years, and by the authority's word now.
        let now = acme(Suggests("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")).await;
        now.0.wait_until_due(&known).await;
        let later = acme(Suggests("3000-01-01T00:00:00Z", "3000-01-01T00:00:00Z")).await;
        let (at, again) = later.0.suggestion(&known, 0.5).await;
        assert!(at.unwrap() < when::due(known.valid()) && at.unwrap() > SystemTime::now());
        assert!(again <= Duration::from_secs(3600) && again > Duration::from_secs(3500));
        // Nonsense counts as nothing said.
        let nonsense = acme(Suggests("soon", "later")).await;
        assert_eq!(nonsense.0.suggestion(&known, 0.5).await.0, None);
    }

    #[test]
    fn times_are_shown_as_people_say_them() {
        let shown = |seconds: f64| time(Duration::from_secs_f64(seconds));
        assert_eq!(
            [0.2, 119.0, 120.0, 5400.0, 7200.0, 518_400.0].map(shown),
            ["1 seconds", "119 seconds", "2 minutes", "90 minutes", "2 hours", "6 days"]
        );
    }
}
