//! `partykit.json`: whatever it holds, it becomes a configuration or a message.

use std::cell::RefCell;
use std::path::PathBuf;

use partyrun_config::{Request, load};

thread_local! {
    static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

// In memory where that is possible, because each run writes a file.
fn folder() -> PathBuf {
    FOLDER.with_borrow_mut(|kept| {
        let folder = kept.get_or_insert_with(|| {
            let in_memory = std::path::Path::new("/dev/shm");
            if in_memory.is_dir() { tempfile::tempdir_in(in_memory) } else { tempfile::tempdir() }.unwrap()
        });
        folder.path().to_path_buf()
    })
}

/// The bytes are the file.
pub fn run(bytes: &[u8]) {
    let cwd = folder();
    std::fs::write(cwd.join("partykit.json"), bytes).unwrap();
    match load(&Request { cwd, without_env_files: true, ..Request::default() }) {
        Ok(config) => assert!(config.main.as_ref().is_none_or(|main| main.is_absolute())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
