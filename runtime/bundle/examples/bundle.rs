//! `bundle ENTRY [--out FILE] [--map FILE] [--time]`: bundles one file, for trying the bundler out.

use std::path::PathBuf;
use std::process::ExitCode;

use partyrun_bundle::{BundleOptions, Bundler};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (mut entry, mut out, mut map, mut time) = (None, None, None, false);
    let mut options = BundleOptions::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match &*arg {
            "--out" => out = args.next().map(PathBuf::from),
            "--map" => map = args.next().map(PathBuf::from),
            "--cache" => options.cache_dir = args.next().map(PathBuf::from),
            "--minify" => options.minify = true,
            "--time" => time = true,
            _ => entry = Some(PathBuf::from(arg)),
        }
    }
    options.main =
        entry.ok_or("usage: bundle ENTRY [--out FILE] [--map FILE] [--cache FOLDER] [--minify] [--time]")?;
    options.root = std::env::current_dir()?;
    let mut bundler = Bundler::new(options);
    let start = std::time::Instant::now();
    let mut bundle = bundler.build()?;
    if time {
        eprintln!("first build {:.1?}", start.elapsed());
        let start = std::time::Instant::now();
        bundle = bundler.build()?;
        eprintln!(
            "second build {:.1?}, {} files, {} bytes",
            start.elapsed(),
            bundle.inputs.len(),
            bundle.code.len()
        );
    }
    for warning in &bundle.warnings {
        eprintln!("warning: {warning}");
    }
    match out {
        Some(out) => std::fs::write(out, &bundle.code)?,
        None => println!("{}", bundle.code),
    }
    if let Some(map) = map {
        std::fs::write(map, &bundle.source_map)?;
    }
    Ok(())
}
