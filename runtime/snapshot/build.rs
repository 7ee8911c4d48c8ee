//! Builds the startup snapshot of every isolate, and a table of the scripts that it left out.
//!
//! A snapshot is made here, never in the serving process: deno_web's scripts are files of the cargo registry, which exist
//! on the machine that builds and nowhere else (design, section 3, "Cold start").

mod warm;

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use deno_core::snapshot::{CreateSnapshotOptions, create_snapshot};
use deno_core::{Extension, ExtensionFileSource, v8_set_flags, wrap_lazy_ext_script};

fn main() -> Result<(), Box<dyn Error>> {
    // The tables in which V8 remembers the texts of numbers are part of the snapshot, as large as they have become. As in
    // `set_v8_flags` of the engine.
    let unknown = v8_set_flags(vec![
        "build".to_string(),
        "--smi-string-cache-size=1024".to_string(),
        "--double-string-cache-size=512".to_string(),
    ]);
    if unknown.len() > 1 {
        return Err(format!("V8 does not know a flag: {unknown:?}").into());
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let ops = partyrun_extensions::own_op_names();
    let warm_path = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("warm.js");
    let script = fs::read_to_string(&warm_path)?;
    println!("cargo:rerun-if-changed={}", warm_path.display());
    let snapshot = create_snapshot(
        CreateSnapshotOptions {
            cargo_manifest_dir: env!("CARGO_MANIFEST_DIR"),
            startup_snapshot: None,
            skip_op_registration: false,
            extensions: amended(partyrun_extensions::all())?,
            extension_transpiler: None,
            with_runtime_cb: Some(Box::new(move |runtime| warm::warm(runtime, &script, &ops))),
        },
        None,
    )?;
    fs::write(out.join("snapshot.bin"), &snapshot.output)?;
    for file in &snapshot.files_loaded_during_snapshot {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    fs::write(out.join("residual.rs"), residual(&snapshot.consumed_lazy_specifiers, &out)?)?;
    Ok(())
}

// Where scripts of deno_web and deno_crypto are not right for many isolates in a process that lives on: (specifier, what is
// there, what takes its place).
const AMENDMENTS: [(&str, &str, &str); 19] = [
    (
        // Header values and reason phrases may have any characters: they are UTF-8 on the wire, as on Workers.
        "ext:deno_webidl/00_webidl.js",
        "if (!isByteString(x)) {",
        "if (false) {",
    ),
    (
        "ext:deno_fetch/23_response.js",
        "const REASON_PHRASE_RE = new SafeRegExp(`^[${REASON_PHRASE_MATCHER}]*$`);",
        "const REASON_PHRASE_RE = new SafeRegExp(`^[${REASON_PHRASE_MATCHER}\\u0100-\\uffff]*$`);",
    ),
    (
        // A place is the bytes that were sent, whatever characters they are meant to be.
        "ext:deno_fetch/26_fetch.js",
        "    locationHeaders[0][1],\n",
        "    core.loadExtScript(\"ext:partyrun/32_fetch.js\").escaped(locationHeaders[0][1]),\n",
    ),
    (
        // What a listener throws is reported, and everything else goes on (DOM, "inner invoke", step 10).
        "ext:deno_web/02_event.js",
        "core.reportUnhandledException(error);",
        "core.loadExtScript(\"ext:partyrun/10_console.js\").console.error(\"Uncaught\", error);",
    ),
    (
        // What waits in a port counts as memory of the room.
        "ext:deno_web/13_message_port.js",
        "op_message_port_post_message_raw(currentPortId, data);",
        "op_message_port_post_message_raw(currentPortId, core.loadExtScript(\"ext:partyrun/08_counted.js\").counted(data));",
    ),
    // A message is cloned as any other value; what only deno_web can clone, a Blob, it clones.
    (
        "ext:deno_web/13_message_port.js",
        "      if (isUncloneable(message)) {",
        "      const packed = core.loadExtScript(\"ext:partyrun/27_values.js\").pack(message);
      if (packed === null && isUncloneable(message)) {",
    ),
    (
        "ext:deno_web/13_message_port.js",
        "const data = serializeMessageData(message, serializeErrorCb);",
        "const data = packed ?? serializeMessageData(message, serializeErrorCb);",
    ),
    (
        "ext:deno_web/13_message_port.js",
        "  if (buffer[0] === FAST_MARKER) return fastDeserialize(buffer);",
        "  if (buffer[0] === FAST_MARKER) return fastDeserialize(buffer);
  if (buffer[0] === 0xFD) return core.loadExtScript(\"ext:partyrun/27_values.js\").unpack(buffer);",
    ),
    (
        "ext:deno_web/13_message_port.js",
        "op_message_port_post_message(currentPortId, data);",
        "data.data = core.loadExtScript(\"ext:partyrun/08_counted.js\").counted(data.data);
    op_message_port_post_message(currentPortId, data);",
    ),
    // Pieces of a body wait for the room to be released.
    (
        STREAMS,
        "const chunk = await core.readAll(rid);",
        "const chunk = await core.loadExtScript(\"ext:partyrun/26_held.js\").whenReleased(core.readAll(rid));",
    ),
    (
        STREAMS,
        "const bytesRead = await core.read(rid, v);",
        "const bytesRead = await core.loadExtScript(\"ext:partyrun/26_held.js\").whenReleased(core.read(rid, v));",
    ),
    (
        STREAMS,
        "const buf = await promise;\n      stream[promiseSymbol] = undefined;\n      readableStreamThrowIfErrored(stream);",
        "const buf = await core.loadExtScript(\"ext:partyrun/26_held.js\").whenReleased(promise);
      stream[promiseSymbol] = undefined;\n      readableStreamThrowIfErrored(stream);",
    ),
    // The bytes of a blob go when it is collected, not in a task that comes later: a room may need them at once.
    (
        "ext:deno_web/09_file.js",
        "const registry = new SafeFinalizationRegistry((uuid) => {\n  op_blob_remove_part(uuid);\n});",
        "const { op_blob_keep_part } = core.ops;",
    ),
    ("ext:deno_web/09_file.js", "registry.register(this, id);", "this._kept = op_blob_keep_part(id);"),
    // deno_crypto keeps symbols of one isolate for its thread, so that keys of the thread's other isolates would get them, and
    // the process would end. Nothing is registered here; js/crypto.js gives keys what node:crypto asks them for.
    (
        CRYPTO,
        "const { kKeyObject } = internals;\n",
        "const { create } = Crypto;\nconst createSubtle = SubtleCrypto.create;\n",
    ),
    (
        CRYPTO,
        "Crypto.registerSymbols(webidl.brand, kKeyObject);\n    subtleSingleton = SubtleCrypto.create();",
        "subtleSingleton = createSubtle();",
    ),
    (CRYPTO, "Crypto.create(getSubtleSingleton())", "create(getSubtleSingleton())"),
    // Whoever loads the script gets what js/crypto.js makes of it.
    (
        CRYPTO,
        "return {\n  Crypto,\n  get crypto()",
        "return core.loadExtScript(\"ext:partyrun/crypto.js\")({\n  Crypto,\n  get crypto()",
    ),
    (CRYPTO, "  SubtleCrypto,\n};\n})();", "  SubtleCrypto,\n});\n})();"),
];
const CRYPTO: &str = "ext:deno_crypto/00_crypto.js";
const STREAMS: &str = "ext:deno_web/06_streams.js";

fn amended(mut extensions: Vec<Extension>) -> Result<Vec<Extension>, Box<dyn Error>> {
    for (specifier, from, to) in AMENDMENTS {
        let files = extensions.iter_mut().flat_map(|extension| extension.lazy_loaded_js_files.to_mut());
        let file = files.into_iter().find(|file| file.specifier == specifier).ok_or(specifier)?;
        let source = file.load()?;
        if source.as_str().matches(from).count() != 1 {
            return Err(format!("{specifier} has changed: it no longer holds `{from}` once").into());
        }
        *file = ExtensionFileSource::new_computed(specifier, source.as_str().replace(from, to).into());
    }
    Ok(extensions)
}

// The scripts that were not run while the snapshot was built, as a Rust array of (specifier, source).
fn residual(consumed: &[String], out: &std::path::Path) -> Result<String, Box<dyn Error>> {
    let consumed: HashSet<&str> = consumed.iter().map(String::as_str).collect();
    let mut scripts = Vec::new();
    for extension in amended(partyrun_extensions::all())? {
        for file in extension.lazy_loaded_js_files.iter().filter(|file| !consumed.contains(file.specifier)) {
            // Wrapped here, so that V8 takes the text where it is instead of copying it into every heap.
            let source = wrap_lazy_ext_script(file.load()?.as_str());
            scripts.push((file.specifier.to_string(), source));
        }
    }
    scripts.extend(polyfills()?);
    // deno_core searches the table by halves.
    scripts.sort();
    let mut table = String::from("&[\n");
    for (number, (specifier, source)) in scripts.iter().enumerate() {
        if !source.is_ascii() {
            return Err(format!("{specifier} holds characters beyond ASCII").into());
        }
        let path = out.join(format!("residual_{number}.js"));
        fs::write(&path, source.as_bytes())?;
        table.push_str(&format!("    ({specifier:?}, include_str!({path:?})),\n"));
    }
    table.push(']');
    Ok(table)
}

// The JavaScript of Node's built-ins that js/node/generate.mjs made: a line with the specifier, then the script.
fn polyfills() -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../js/node/polyfills.generated.js");
    println!("cargo:rerun-if-changed={path}");
    let text = fs::read_to_string(path)?;
    let mut scripts: Vec<(String, String)> = Vec::new();
    for line in text.lines().skip(1) {
        match (line.strip_prefix("// ext:"), scripts.last_mut()) {
            (Some(name), _) => scripts.push((format!("ext:{name}"), String::new())),
            (None, Some((_, source))) => {
                source.push_str(line);
                source.push('\n');
            }
            (None, None) => return Err("js/node/polyfills.generated.js does not begin with a script".into()),
        }
    }
    Ok(scripts)
}
