//! Projects: lists, what is known of one, its releases and domains, and its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Api, Ask, json_answer};
use crate::child::NEVER;
use crate::common::HostError;
use crate::names::{Address, own_domain};
use crate::proxy::Body;
use crate::registry::now_ms;
use crate::site::Site;

impl Api {
    fn row(&self, site: &Arc<Site>) -> Value {
        let due = site.due_ms();
        json!({
            "name": site.address.project, "preview": site.address.preview, "url": self.url(&site.address),
            "domains": self.sites.domains(site), "created_ms": site.created_ms, "release": site.release(),
            "state": if site.running().is_some() { "running" } else if site.release().is_some() { "stopped" } else { "empty" },
            "connections": site.open(), "due_ms": (due != NEVER).then_some(due),
            "stored_bytes": site.meter.storage.load(Ordering::Relaxed),
        })
    }

    /// The projects that the token may see.
    pub(super) async fn list(&self, ask: &Ask) -> Result<Response<Body>, Problem> {
        let all = self.sites.all();
        let seen = all.iter().filter(|site| ask.token.scope.reads(&site.address.project));
        Ok(json_answer(&seen.map(|site| self.row(site)).collect()))
    }

    /// What is known of a project.
    pub(super) async fn info(&self, _ask: &Ask, site: &Arc<Site>) -> Result<Response<Body>, Problem> {
        let id = site.id;
        let mut row = self.row(site);
        let values = self.common.registry(move |registry| registry.values(id)).await?;
        let previews: Vec<_> = self
            .sites
            .all()
            .into_iter()
            .filter(|other| other.address.project == site.address.project && other.address.preview.is_some())
            .filter_map(|other| other.address.preview.clone())
            .collect();
        row["vars"] = values.into_iter().map(|(name, _)| name).collect();
        row["previews"] = previews.into();
        row["process"] = site.running().map(|running| running.child.pid).into();
        Ok(json_answer(&row))
    }

    /// What a project used by day.
    pub(super) async fn usage(&self, site: &Arc<Site>) -> Result<Response<Body>, Problem> {
        const DAYS: i64 = 31;
        crate::sweep::write_down(std::slice::from_ref(site), &self.common).await;
        let id = site.id;
        let days = self.common.registry(move |registry| registry.usage(id, DAYS)).await?;
        Ok(json_answer(&json!(days)))
    }

    /// The releases that are kept.
    pub(super) async fn releases(&self, site: &Arc<Site>) -> Result<Response<Body>, Problem> {
        let id = site.id;
        let releases = self.common.registry(move |registry| registry.releases(id)).await?;
        let running = site.release().map(|release| release.id);
        let rows = releases.iter().map(|release| {
            let mut row = json!(release);
            row["live"] = (running == Some(release.id)).into();
            row
        });
        Ok(json_answer(&rows.collect()))
    }

    /// Makes an older release the one that runs.
    pub(super) async fn rollback(&self, ask: Ask, site: &Arc<Site>) -> Result<Response<Body>, Problem> {
        let actor = ask.actor();
        let asked = ask.json(&self.common).await?;
        let _one_at_a_time = site.deploying.lock().await;
        self.check_there(site)?;
        let id = site.id;
        let releases = self.common.registry(move |registry| registry.releases(id)).await?;
        let current = site.release();
        let number = asked.get("release").and_then(Value::as_i64);
        let found = match number {
            Some(number) => releases.iter().find(|release| release.number == number),
            // The one before the one that runs.
            None => releases
                .iter()
                .find(|release| current.as_ref().is_some_and(|current| release.number < current.number)),
        };
        let Some(release) = found.cloned() else {
            let message = match number {
                Some(number) => format!(
                    "There is no release {number} of {}. `partyrun releases` lists them.",
                    site.address
                ),
                None => format!("There is no release of {} before the one that runs.", site.address),
            };
            return Err(Problem::missing(message));
        };
        let path = site.folder.join(&release.file);
        let refused = |text| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "start",
                format!("Release {} does not start, so nothing was changed: {text}", release.number),
            )
        };
        site.probe(&path).await.map_err(refused)?;
        site.swap(release.clone()).await.map_err(refused)?;
        self.note(&actor, "rollback", &site.address.to_string(), &format!("to release {}", release.number))
            .await?;
        Ok(json_answer(&json!({ "release": release, "url": self.url(&site.address) })))
    }

    /// Deletes a project with its previews, or one preview. The data is kept for a while.
    pub(super) async fn delete(&self, ask: &Ask, address: &Address) -> Result<Response<Body>, Problem> {
        let site = self.site(address)?;
        let all = self.sites.all();
        let mut gone: Vec<Arc<Site>> = vec![site];
        if address.preview.is_none() {
            gone.extend(
                all.into_iter().filter(|other| {
                    other.address.project == address.project && other.address.preview.is_some()
                }),
            );
        }
        let kept = self.common.limits.host_deleted_time_max;
        let until = now_ms().saturating_add(i64::try_from(kept.as_millis()).unwrap_or(NEVER));
        let mut folders = Vec::new();
        for site in gone {
            let _one_at_a_time = site.deploying.lock().await;
            match self.check_there(&site) {
                Err(problem) if site.address == *address => return Err(problem),
                Err(_) => continue,
                Ok(()) => {}
            }
            // No request starts it from now on, and no deployment makes another one before this one is gone.
            let release = site.retire().await;
            let folder = format!("{}-{}", site.address.folder(), now_ms());
            let to = self.common.data.join("deleted").join(&folder);
            match std::fs::rename(&site.folder, &to) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    site.revive(release);
                    let error =
                        HostError::Machine { what: "The project's folder cannot be put aside", error };
                    return Err(error.into());
                }
                _ => {}
            }
            let (id, named, moved) = (site.id, site.address.to_string(), folder.clone());
            self.common.registry(move |registry| registry.delete_site(id, &moved, &named, until)).await?;
            self.sites.remove(&site);
            self.note(
                &ask.actor(),
                "delete",
                &site.address.to_string(),
                &format!("kept as deleted/{folder}"),
            )
            .await?;
            folders.push(folder);
        }
        Ok(json_answer(
            &json!({ "deleted": address.below(&self.common.domain), "kept_until_ms": until, "folders": folders }),
        ))
    }

    /// Gives a domain to a project.
    pub(super) async fn add_domain(
        &self,
        ask: &Ask,
        site: &Arc<Site>,
        domain: &str,
    ) -> Result<Response<Body>, Problem> {
        let warning = self.take_domain(&ask.actor(), site, domain).await?;
        Ok(json_answer(&json!({ "domain": domain, "warning": warning })))
    }

    /// The same, for a deployment; what is to be said about where the domain points.
    pub(super) async fn take_domain(
        &self,
        actor: &super::Actor,
        site: &Arc<Site>,
        domain: &str,
    ) -> Result<Option<String>, Problem> {
        let domain =
            own_domain(domain, &self.common.domain).map_err(|error| Problem::bad(format!("{error}.")))?;
        if self.sites.domains(site).contains(&domain) {
            return Ok(self.points_elsewhere(&domain).await);
        }
        let (id, wanted) = (site.id, domain.clone());
        let other = self.common.registry(move |registry| registry.add_domain(&wanted, id)).await?;
        if let Some(other) = other {
            let visible = if other == site.address.project { other } else { "another project".to_string() };
            return Err(Problem::conflict("taken", format!("The domain {domain} belongs to {visible}.")));
        }
        self.sites.set_domain(&domain, Some(site));
        self.note(actor, "domain.add", &site.address.to_string(), &domain).await?;
        Ok(self.points_elsewhere(&domain).await)
    }

    /// Takes a domain from a project.
    pub(super) async fn remove_domain(
        &self,
        ask: &Ask,
        site: &Arc<Site>,
        domain: &str,
    ) -> Result<Response<Body>, Problem> {
        let domain = domain.to_ascii_lowercase();
        let (id, named) = (site.id, domain.clone());
        if !self.common.registry(move |registry| registry.remove_domain(&named, id)).await? {
            let shown: String = domain.chars().take(253).flat_map(char::escape_default).collect();
            return Err(Problem::missing(format!("{} has no domain {shown}.", site.address)));
        }
        self.sites.set_domain(&domain, None);
        self.note(&ask.actor(), "domain.remove", &site.address.to_string(), &domain).await?;
        Ok(json_answer(&json!({ "removed": domain })))
    }

    // A domain whose name leads to other addresses than the host's own name.
    async fn points_elsewhere(&self, domain: &str) -> Option<String> {
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
        let look = async |name: &str| {
            let found =
                tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name.to_string(), 443))).await;
            let found = found.ok().and_then(Result::ok);
            found.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>()).unwrap_or_default()
        };
        let (theirs, ours) = tokio::join!(look(domain), look(&self.common.domain));
        if theirs.is_empty() {
            return Some(format!(
                "The name {domain} is not in DNS yet: add a record that leads to this host."
            ));
        }
        if ours.is_empty() || theirs.iter().any(|ip| ours.contains(ip)) {
            return None;
        }
        let text =
            |list: &[std::net::IpAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Some(format!(
            "{domain} leads to {}, not to this host ({}): change its record in DNS.",
            text(&theirs),
            text(&ours)
        ))
    }
}
