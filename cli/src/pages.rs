//! `dev --live` without a client build: pages reload when a file of the served folder changes.

use std::path::PathBuf;
use std::sync::Arc;

use partyrun_server::Reload;

use crate::output::Output;
use crate::watch::Watch;

/// Tells pages of every change below a folder, until it is aborted.
pub(crate) async fn follow(folder: PathBuf, output: Arc<Output>, reload: Reload) {
    let mut watch = match Watch::new(vec![folder.clone()], Vec::new()) {
        Ok(watch) => watch,
        Err(error) => {
            output.problem(&format!("Changes in {} will not be seen: {error}", folder.display()));
            return;
        }
    };
    loop {
        watch.changed().await;
        reload.tell();
    }
}
