//! Deployments: a release is received, checked, tried beside the one that runs, and takes its place. One at a time for each
//! project; one that does not start is taken back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::problem::Problem;
use super::{Actor, Api, Ask, json_answer};
use crate::common::{FOREIGN, HostError};
use crate::names::Address;
use crate::proxy::Body;
use crate::registry::Release;
use crate::site::Site;

/// A file that is removed unless it was put into its place.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _moved = std::fs::remove_file(&self.0);
    }
}

// Copies a file of a project's folder, and nothing that a link there names.
fn copy_release(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut from = std::fs::OpenOptions::new().read(true).custom_flags(FOREIGN).open(from)?;
    if !from.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no plain file"));
    }
    std::io::copy(&mut from, &mut std::fs::File::create(to)?)?;
    Ok(())
}

impl Api {
    /// A project, made if there is none and there may be one more.
    pub(super) async fn site_or_new(&self, address: &Address) -> Result<Arc<Site>, Problem> {
        if let Some(site) = self.sites.get(address) {
            return Ok(site);
        }
        if self.sites.all().len() >= self.common.limits.host_projects_max {
            let message = format!(
                "This host has as many projects as it may have ({}).",
                self.common.limits.cite("host_projects_max")
            );
            return Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, "full", message));
        }
        Ok(self.sites.get_or_make(address, &self.common).await?)
    }

    /// Which static files of a release are to be sent: those that no release of the project has.
    pub(super) async fn lacking(&self, ask: Ask, address: &Address) -> Result<Response<Body>, Problem> {
        let asked = ask.json(&self.common).await?;
        let hashes: Option<Vec<String>> = asked
            .as_array()
            .and_then(|list| list.iter().map(|hash| hash.as_str().map(str::to_owned)).collect());
        let mut hashes = hashes.ok_or_else(|| Problem::bad("Write a list of hashes."))?;
        if let Some(site) = self.sites.get(address) {
            let older = self.older(&site).await?;
            let releases = self.common.releases.clone();
            let held = tokio::task::spawn_blocking(move || {
                older
                    .iter()
                    .filter_map(|path| releases.assets(path).ok())
                    .flatten()
                    .collect::<std::collections::HashSet<_>>()
            });
            let held = held.await.map_err(|_| HostError::Bug)?;
            hashes.retain(|hash| !held.contains(hash));
        }
        Ok(json_answer(&json!(hashes)))
    }

    // The files of the releases whose static files can be used again: the one that runs, and the last one.
    async fn older(&self, site: &Site) -> Result<Vec<PathBuf>, Problem> {
        const LOOKED_AT: usize = 2;
        let id = site.id;
        let mut releases = self.common.registry(move |registry| registry.releases(id)).await?;
        let running = site.release().map(|release| release.id);
        releases.sort_by_key(|release| running != Some(release.id));
        Ok(releases.iter().take(LOOKED_AT).map(|release| site.folder.join(&release.file)).collect())
    }

    /// Receives a release and makes it the one that runs.
    pub(super) async fn deploy(&self, ask: Ask, address: &Address) -> Result<Response<Body>, Problem> {
        let is_new = self.sites.get(address).is_none();
        let site = self.site_or_new(address).await?;
        let deployed = self.deploy_to(ask, &site).await;
        if deployed.is_err() && is_new && site.release().is_none() {
            // Nothing of it is left, so that its name is free.
            self.forget_empty(&site).await;
        }
        deployed
    }

    /// Whether a project is still there for whoever has waited for it.
    pub(super) fn check_there(&self, site: &Arc<Site>) -> Result<(), Problem> {
        if self.sites.get(&site.address).is_some_and(|known| Arc::ptr_eq(&known, site)) {
            return Ok(());
        }
        let message = format!("{} was deleted meanwhile. Try again.", site.address);
        Err(Problem::conflict("deleted", message))
    }

    async fn forget_empty(&self, site: &Arc<Site>) {
        let _one_at_a_time = site.deploying.lock().await;
        // Whoever deployed meanwhile has it.
        if site.release().is_some() || self.check_there(site).is_err() {
            return;
        }
        let id = site.id;
        let has_values = self.common.registry(move |registry| registry.values(id)).await;
        if has_values.is_ok_and(|values| values.is_empty()) {
            self.sites.remove(site);
            let named = site.address.to_string();
            let folder = site.address.folder();
            let _kept =
                self.common.registry(move |registry| registry.delete_site(id, &folder, &named, 0)).await;
            let _kept = std::fs::remove_dir_all(&site.folder);
        }
    }

    async fn deploy_to(&self, ask: Ask, site: &Arc<Site>) -> Result<Response<Body>, Problem> {
        if site.is_full.load(Ordering::Relaxed) {
            let message = format!(
                "{} has stored more than it may ({}).",
                site.address,
                self.common.limits.cite("host_storage_bytes_max")
            );
            return Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, "full", message));
        }
        let actor = ask.actor();
        let domain = ask.query("domain").map(str::to_owned);
        let (_one_at_a_time, waited) = match site.deploying.try_lock() {
            Ok(held) => (held, None),
            Err(_) => {
                let since = std::time::Instant::now();
                let held = site.deploying.lock().await;
                (held, Some(since.elapsed()))
            }
        };
        self.check_there(site)?;
        let sent = self.receive(ask.request.into_body()).await?;
        let is_initial = site.release().is_none();
        let release = self.put(site, sent, &actor).await?;
        self.run(site, &release).await?;
        self.note(
            &actor,
            "deploy",
            &site.address.to_string(),
            &format!("release {} ({})", release.number, release.hash),
        )
        .await?;
        let warning = match domain {
            Some(domain) => self.take_domain(&actor, site, &domain).await?,
            None => None,
        };
        Ok(json_answer(&json!({
            "url": self.url(&site.address), "release": release, "is_initial_deploy": is_initial,
            "waited_ms": waited.map(|waited| waited.as_millis()), "domains": self.sites.domains(site), "warning": warning,
        })))
    }

    // The body as a file. Where it cannot be kept, the rest is read nevertheless: a client that still sends would find the
    // connection broken instead of the reason.
    async fn receive(&self, mut body: Incoming) -> Result<Draft, Problem> {
        let received = self.receive_into_file(&mut body).await;
        if received.as_ref().is_err_and(|problem| problem.status != StatusCode::PAYLOAD_TOO_LARGE) {
            let rest = async { while let Some(Ok(_unread)) = body.frame().await {} };
            // Whoever is slower finds it broken.
            let _late = tokio::time::timeout(self.common.limits.body_idle_max, rest).await;
        }
        received
    }

    async fn receive_into_file(&self, body: &mut Incoming) -> Result<Draft, Problem> {
        let most = self.common.limits.host_release_bytes_max as u64;
        let name = crate::secrets::new_token().map_err(HostError::from)?;
        let draft = Draft(self.common.data.join("incoming").join(name));
        let full = |error: std::io::Error| {
            let is_full =
                matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
            let message = format!("The host cannot keep the release: {error}.");
            if is_full {
                Problem::new(StatusCode::INSUFFICIENT_STORAGE, "full", message)
            } else {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "host", message)
            }
        };
        let too_long = || {
            let limit = self.common.limits.cite("host_release_bytes_max");
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_long",
                format!("The release is too long ({limit})."),
            )
        };
        if hyper::body::Body::size_hint(body).lower() > most {
            return Err(too_long());
        }
        let mut file = tokio::fs::File::create(&draft.0).await.map_err(full)?;
        let mut bytes = 0;
        let idle = self.common.limits.body_idle_max;
        loop {
            let Ok(frame) = tokio::time::timeout(idle, body.frame()).await else {
                return Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "late",
                    "The release did not come in time.",
                ));
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|_| Problem::bad("The release was cut short."))?;
            let Some(data) = frame.data_ref() else { continue };
            bytes += data.len() as u64;
            if bytes > most {
                return Err(too_long());
            }
            file.write_all(data).await.map_err(full)?;
        }
        file.flush().await.map_err(full)?;
        Ok(draft)
    }

    // Checks what was sent, makes it whole, and puts it among the releases of the project. It does not run yet.
    async fn put(&self, site: &Arc<Site>, sent: Draft, actor: &Actor) -> Result<Release, Problem> {
        let older = self.older(site).await?;
        let whole = Draft(sent.0.with_extension("whole"));
        let (releases, path) = (self.common.releases.clone(), whole.0.clone());
        let checking = tokio::task::spawn_blocking(move || {
            let checked = releases.complete(&sent.0, &older, &path)?;
            let bytes = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
            Ok::<_, String>((checked.hash, i64::try_from(bytes).unwrap_or(i64::MAX)))
        });
        let checked = checking.await.map_err(|_| HostError::Bug)?;
        let (hash, bytes) = checked.map_err(|text| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "release",
                format!("The release is refused: {text}"),
            )
        })?;
        self.keep(site, whole, hash, bytes, actor).await
    }

    async fn keep(
        &self,
        site: &Arc<Site>,
        whole: Draft,
        hash: String,
        bytes: i64,
        actor: &Actor,
    ) -> Result<Release, Problem> {
        let failed = |error| Problem::from(HostError::Machine { what: "The release cannot be kept", error });
        let folder = site.folder.join("releases");
        std::fs::create_dir_all(&folder).map_err(failed)?;
        // Releases of one code may differ in their settings.
        let short: String = hash.chars().take(16).collect();
        let file = format!("releases/{short}-{}.partyrun", crate::registry::now_ms());
        std::fs::rename(&whole.0, site.folder.join(&file)).map_err(failed)?;
        // The name is on disk before the registry says that it is there.
        std::fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        let (id, by) = (site.id, actor.who.clone());
        Ok(self.common.registry(move |registry| registry.add_release(id, &hash, &file, &by, bytes)).await?)
    }

    // Tries a release and makes it the one that runs; else forgets it.
    async fn run(&self, site: &Arc<Site>, release: &Release) -> Result<(), Problem> {
        let path = site.folder.join(&release.file);
        let tried = match site.probe(&path).await {
            Ok(()) => site.swap(release.clone()).await,
            Err(text) => Err(text),
        };
        if let Err(text) = tried {
            self.forget(site, release).await?;
            let kept = match site.release() {
                Some(before) => format!("Release {} still runs.", before.number),
                None => "Nothing was deployed.".to_string(),
            };
            let message = format!("The new release does not start. {kept}\n{text}");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "start", message));
        }
        let id = site.id;
        let releases = self.common.registry(move |registry| registry.releases(id)).await?;
        for old in releases.iter().skip(self.common.limits.host_releases_max.max(1)) {
            if site.release().is_none_or(|running| running.id != old.id) {
                self.forget(site, old).await?;
            }
        }
        Ok(())
    }

    async fn forget(&self, site: &Arc<Site>, release: &Release) -> Result<(), Problem> {
        let id = release.id;
        self.common.registry(move |registry| registry.forget_release(id)).await?;
        let _kept = std::fs::remove_file(site.folder.join(&release.file));
        Ok(())
    }

    /// Makes the release of a preview the one that the project runs.
    pub(super) async fn promote(&self, ask: Ask, address: &Address) -> Result<Response<Body>, Problem> {
        let actor = ask.actor();
        let asked = ask.json(&self.common).await?;
        let preview = asked.get("preview").and_then(Value::as_str);
        let preview = preview.ok_or_else(|| Problem::bad("Name the preview: {\"preview\": NAME}."))?;
        let from = Address::new(&address.project, Some(preview))
            .map_err(|error| Problem::bad(format!("{error}.")))?;
        let from = self.site(&from)?;
        let found = from
            .release()
            .ok_or_else(|| Problem::missing(format!("Nothing is deployed to {}.", from.address)))?;
        let to = Address { project: address.project.clone(), preview: None };
        let site = self.site_or_new(&to).await?;
        let _one_at_a_time = site.deploying.lock().await;
        self.check_there(&site)?;
        let name = crate::secrets::new_token().map_err(HostError::from)?;
        let copy = Draft(self.common.data.join("incoming").join(name));
        let (source, target) = (from.folder.join(&found.file), copy.0.clone());
        let copying = tokio::task::spawn_blocking(move || copy_release(&source, &target));
        copying
            .await
            .map_err(|_| HostError::Bug)?
            .map_err(|error| HostError::Machine { what: "The release cannot be copied", error })?;
        let release = self.keep(&site, copy, found.hash.clone(), found.bytes, &actor).await?;
        self.run(&site, &release).await?;
        self.note(
            &actor,
            "promote",
            &site.address.to_string(),
            &format!("{preview} as release {}", release.number),
        )
        .await?;
        Ok(json_answer(&json!({ "url": self.url(&site.address), "release": release })))
    }
}
