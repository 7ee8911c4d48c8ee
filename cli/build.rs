//! Packs the licences that `partyrun licenses` prints, because the text is large and rarely read.

use std::io::Write;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let root = Path::new("..");
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    let mut packed = flate2::write::GzEncoder::new(
        std::fs::File::create(out.join("licenses.gz"))?,
        flate2::Compression::best(),
    );
    for (index, name) in ["LICENSE", "THIRD-PARTY"].iter().enumerate() {
        let path = root.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        if index > 0 {
            packed.write_all(b"\n")?;
        }
        packed.write_all(&std::fs::read(path)?)?;
    }
    packed.finish()?;
    Ok(())
}
