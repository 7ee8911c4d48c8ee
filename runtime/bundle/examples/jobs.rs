//! Bundles what each line of standard input says, `{"root", "main", "out", "map", "define", "alias", "minify", "cache"}`,
//! and answers each with one line of JSON. The code is written to `out`, its source map to `out` + `.map`; `map` only
//! makes it. Lines with the same `id` use one bundler, so that the second is a rebuild. The tests in Node.js drive the
//! bundler through this.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use partyrun_bundle::{BundleOptions, Bundler};
use serde_json::{Value, json};

fn pairs(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_string);
    let list = value.as_object().into_iter().flatten();
    list.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}

fn options(job: &Value) -> BundleOptions {
    let path = |key: &str| job.get(key).and_then(Value::as_str).map(PathBuf::from);
    let parties = pairs(job.get("parties").unwrap_or(&Value::Null));
    BundleOptions {
        root: path("root").unwrap_or_default(),
        main: path("main").unwrap_or_default(),
        parties: parties.into_iter().map(|(name, file)| (name, file.into())).collect(),
        define: pairs(job.get("define").unwrap_or(&Value::Null)),
        alias: pairs(job.get("alias").unwrap_or(&Value::Null)),
        minify: job.get("minify").and_then(Value::as_bool).unwrap_or(false),
        cache_dir: path("cache"),
        ..BundleOptions::default()
    }
}

fn run(job: &Value, bundlers: &mut HashMap<String, Bundler>) -> std::io::Result<Value> {
    let id = job.get("id").map_or_else(|| bundlers.len().to_string(), Value::to_string);
    let bundler = bundlers.entry(id).or_insert_with(|| Bundler::new(options(job)));
    let start = Instant::now();
    let built = bundler.build();
    let ms = start.elapsed().as_secs_f64() * 1000.0;
    let texts =
        |list: &[partyrun_bundle::Diagnostic]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    Ok(match built {
        Ok(bundle) => {
            let start = Instant::now();
            let out = job.get("out").and_then(Value::as_str);
            let wants_map = out.is_some() || job.get("map").is_some();
            let source_map = if wants_map { bundle.source_map.as_ref() } else { &[] };
            let map_ms = start.elapsed().as_secs_f64() * 1000.0;
            if let Some(out) = out {
                std::fs::write(out, &bundle.code)?;
                std::fs::write(format!("{out}.map"), source_map)?;
            }
            let bytes: usize =
                bundle.inputs.iter().map(|file| file.metadata().map_or(0, |meta| meta.len() as usize)).sum();
            json!({ "ok": true, "ms": ms, "mapMs": map_ms, "bytes": bundle.code.len(), "inputs": bundle.inputs.len(),
                "read": bytes, "warnings": texts(&bundle.warnings), "hash": bundle.hash })
        }
        Err(errors) => {
            json!({ "ok": false, "ms": ms, "errors": texts(&errors.errors), "warnings": texts(&errors.warnings) })
        }
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut bundlers = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let answer = run(&serde_json::from_str(&line?)?, &mut bundlers)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
