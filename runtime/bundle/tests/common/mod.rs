//! What the tests share: small projects on disk, and the log of a bundle that Node.js runs the way the engine does.
#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use partyrun_bundle::{Bundle, BundleErrors, BundleOptions, Bundler};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A folder that goes away with its value.
pub(crate) struct Project(pub(crate) PathBuf);

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Outcome<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("partyrun-bundle-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let project = Self(folder.canonicalize()?);
        for (file, text) in files {
            project.write(file, text.as_bytes())?;
        }
        Ok(project)
    }

    pub(crate) fn write(&self, file: &str, bytes: &[u8]) -> Outcome<()> {
        let path = self.0.join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(&self.0))?;
        Ok(std::fs::write(path, bytes)?)
    }

    pub(crate) fn link(&self, target: &str, link: &str) -> Outcome<()> {
        let path = self.0.join(link);
        std::fs::create_dir_all(path.parent().unwrap_or(&self.0))?;
        Ok(std::os::unix::fs::symlink(self.0.join(target), path)?)
    }

    pub(crate) fn options(&self, main: &str) -> BundleOptions {
        BundleOptions { root: self.0.clone(), main: main.into(), ..BundleOptions::default() }
    }

    pub(crate) fn build(&self, main: &str) -> Result<Bundle, BundleErrors> {
        Bundler::new(self.options(main)).build()
    }

    /// What the bundle prints, a line each, and the message of an error that ends it.
    pub(crate) fn log(&self, main: &str) -> Outcome<String> {
        self.log_of(&self.build(main)?)
    }

    pub(crate) fn log_of(&self, bundle: &Bundle) -> Outcome<String> {
        assert!(bundle.code.is_ascii());
        let out = self.0.join("bundle.out.js");
        std::fs::write(&out, &bundle.code)?;
        std::fs::write(self.0.join("bundle.out.js.map"), &bundle.source_map)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run.mjs");
        // An isolate does not compile strings either.
        let output = Command::new("node")
            .arg("--disallow-code-generation-from-strings")
            .arg(script)
            .arg("script")
            .arg(&out)
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let result: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| format!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr)))?;
        let lines = result["lines"].as_array().into_iter().flatten().filter_map(|line| line.as_str());
        let error = result["error"].as_str().map(|error| format!("threw {error}"));
        let frames = result["frames"].as_array().into_iter().flatten().filter_map(|frame| frame.as_str());
        let frames = frames.map(|frame| format!("  at {frame}"));
        Ok(lines.map(str::to_string).chain(error).chain(frames).collect::<Vec<_>>().join("\n"))
    }

    /// The messages of a build that has to fail.
    pub(crate) fn errors(&self, main: &str) -> Outcome<BundleErrors> {
        match self.build(main) {
            Ok(_) => Err("it was built".into()),
            Err(errors) => Ok(errors),
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bundles the files, the first of which is the entry, and compares what they print.
pub(crate) fn prints(files: &[(&str, &str)], expected: &str) -> Outcome<()> {
    let main = files.first().map(|file| file.0).unwrap_or_default();
    let log = Project::new(files)?.log(main)?;
    assert_eq!(log, expected, "\n{files:#?}");
    Ok(())
}
