//! The flags of the administrative API, as `dev` and `start` take them.

use clap::Args;
use partyrun_admin::Address;

/// The variable that holds the token.
pub(crate) const ADMIN_TOKEN: &str = "PARTYRUN_ADMIN_TOKEN";

/// Where operators ask.
#[derive(Debug, Default, Args)]
pub(crate) struct AdminArgs {
    /// Serve the administrative API: an address, a port, `unix:PATH`, or `off` (see docs/admin.md) [default: 127.0.0.1:1998 in
    /// `dev`, off in `start`].
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        require_equals = false,
        default_missing_value = "127.0.0.1:1998",
        value_parser = admin_address
    )]
    pub(crate) admin: Option<AdminAddress>,
    /// A host name under which the administrative API is reached, beside addresses and `localhost`. Repeatable.
    #[arg(long, value_name = "NAME")]
    pub(crate) admin_host: Vec<String>,
    /// Answer `/healthz` and `/readyz` on the public port, too.
    #[arg(long)]
    pub(crate) health: bool,
}

/// Where the API is served, if it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminAddress {
    Off,
    At(Address),
}

impl AdminArgs {
    /// Whether it was turned off.
    pub(crate) fn is_off(&self) -> bool {
        self.admin == Some(AdminAddress::Off)
    }

    /// Where it is to be served.
    pub(crate) fn address(&self) -> Address {
        match &self.admin {
            Some(AdminAddress::At(address)) => address.clone(),
            Some(AdminAddress::Off) | None => Address::default(),
        }
    }
}

fn admin_address(text: &str) -> Result<AdminAddress, String> {
    match text {
        "off" | "false" => Ok(AdminAddress::Off),
        text => text.parse().map(AdminAddress::At).map_err(|error| error.to_string()),
    }
}
