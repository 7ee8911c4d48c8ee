//! The projects of a host by name and by domain. Looked up for every request, so they are in memory; the registry has them on
//! disk.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::common::{Common, HostError};
use crate::names::{Address, Place, place};
use crate::registry::SiteRow;
use crate::site::Site;

/// Which names a host answers to, for whoever obtains certificates for them.
#[derive(Clone, Default)]
pub struct Names(Arc<OnceLock<(Arc<Sites>, String)>>);

impl Names {
    /// Whether there is a project of this name, or it is the host's own. Before the host runs there is none.
    pub fn has(&self, name: &str) -> bool {
        self.0
            .get()
            .is_some_and(|(sites, domain)| name == domain || matches!(sites.find(name, domain), Ok(Some(_))))
    }

    pub(crate) fn fill(&self, sites: Arc<Sites>, domain: &str) {
        let _before = self.0.set((sites, domain.to_string()));
    }
}

/// The projects.
#[derive(Default)]
pub(crate) struct Sites(RwLock<Tables>);

#[derive(Default)]
struct Tables {
    by_address: HashMap<Address, Arc<Site>>,
    by_domain: HashMap<String, Arc<Site>>,
}

impl Sites {
    /// Those of the registry.
    pub(crate) fn load(common: &Arc<Common>) -> Result<Self, HostError> {
        let mut tables = Tables::default();
        let mut by_id = HashMap::new();
        for row in common.registry.sites()? {
            let site = Arc::new(Site::new(row, common.clone()));
            by_id.insert(site.id, site.clone());
            tables.by_address.insert(site.address.clone(), site);
        }
        for (domain, id) in common.registry.domains()? {
            if let Some(site) = by_id.get(&id) {
                tables.by_domain.insert(domain, site.clone());
            }
        }
        Ok(Self(RwLock::new(tables)))
    }

    /// Who answers under a host name: a project, or the host itself (`Ok(None)`).
    pub(crate) fn find(&self, name: &str, domain: &str) -> Result<Option<Arc<Site>>, ()> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_address =
            name == "localhost" || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        let found = match place(name, domain) {
            Place::Host => return Ok(None),
            // Before there is DNS, the host is reached by its address.
            Place::Domain(_) if is_address => return Ok(None),
            Place::Project(address) => tables.by_address.get(&address),
            Place::Domain(name) => tables.by_domain.get(&name),
            Place::Nowhere => None,
        };
        found.cloned().map(Some).ok_or(())
    }

    /// The project of this address.
    pub(crate) fn get(&self, address: &Address) -> Option<Arc<Site>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_address.get(address).cloned()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Site>> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Site>> = tables.by_address.values().cloned().collect();
        drop(tables);
        all.sort_by(|one, other| one.address.cmp(&other.address));
        all
    }

    /// The project of this address, which is made if there is none.
    pub(crate) async fn get_or_make(
        &self,
        address: &Address,
        common: &Arc<Common>,
    ) -> Result<Arc<Site>, HostError> {
        if let Some(site) = self.get(address) {
            return Ok(site);
        }
        let named = address.clone();
        let id = common.registry(move |registry| registry.site(&named)).await?;
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let created_ms = crate::registry::now_ms();
            let row = SiteRow { id, address: address.clone(), created_ms, release: None, due_ms: None };
            Arc::new(Site::new(row, common.clone()))
        };
        Ok(tables.by_address.entry(address.clone()).or_insert_with(make).clone())
    }

    /// Forgets a project.
    pub(crate) fn remove(&self, site: &Arc<Site>) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.by_address.remove(&site.address);
        tables.by_domain.retain(|_, other| !Arc::ptr_eq(other, site));
    }

    /// The domains of a project.
    pub(crate) fn domains(&self, site: &Arc<Site>) -> Vec<String> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let own = tables.by_domain.iter().filter(|(_, other)| Arc::ptr_eq(other, site));
        let mut own: Vec<String> = own.map(|(domain, _)| domain.clone()).collect();
        own.sort();
        own
    }

    /// Gives a domain to a project, or takes it.
    pub(crate) fn set_domain(&self, domain: &str, site: Option<&Arc<Site>>) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match site {
            Some(site) => tables.by_domain.insert(domain.to_string(), site.clone()),
            None => tables.by_domain.remove(domain),
        };
    }
}
