//! A program: what every isolate of a project runs, made once per build and shared by all of them.
//!
//! It is the bundle as one external string, which every heap refers to and which is freed with its last user, and the
//! code cache made from it after an isolate has evaluated it: a cache made earlier would lack the functions that V8
//! compiles lazily, which is nearly all of a bundle (design, section 3, "Cold start").

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::c_char;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use deno_core::ModuleLoadOptions;
use deno_core::ModuleLoadReferrer;
use deno_core::ModuleLoadResponse;
use deno_core::ModuleLoader;
use deno_core::ModuleSpecifier;
use deno_core::ResolutionKind;
use deno_core::error::ModuleLoaderError;
use deno_core::v8;
use deno_error::JsErrorBox;
use partyrun_limits::Limits;

/// The name under which V8 knows the bundle; stack traces are mapped from it to the project's own files.
pub const BUNDLE_NAME: &str = "file:///bundle.js";

/// A project's code and settings. Immutable; a new build makes a new one.
pub struct Program {
    code: Arc<[u8]>,
    source_map: Option<Arc<dyn AsRef<[u8]> + Send + Sync>>,
    /// `room.env`, as JSON.
    pub env: String,
    /// `process.env`: the keys of the env files.
    pub process_env: HashMap<String, String>,
    /// What replaces fields of the `request.cf` placeholder, as JSON.
    pub cf: String,
    /// All parties that a stub can name, in the order of the configuration, `main` last (spec 2.9).
    pub parties: Vec<String>,
    /// The file of each party as the project names it, where it is known.
    pub files: HashMap<String, String>,
    /// The local bindings: `{ kv, r2, vectorize }` by name, and the options of `ai` (spec 2.14), as JSON.
    pub resources: String,
    /// The host that URLs of stubs carry.
    pub host: String,
    /// Whether clients get a constant text where user code failed, and only the log its message.
    pub conceal_errors: bool,
    /// The source map that debuggers get; `None` where nobody may debug.
    pub debug: Option<DebugMap>,
    /// Modules that rooms share compiled.
    pub wasm: Vec<Bytes>,
    /// Files that the project imports as ArrayBuffer, in the order of the bundle's numbers.
    pub binaries: Vec<Bytes>,
    code_cache: Mutex<CodeCache>,
    compiled_wasm: Mutex<HashMap<u32, Arc<v8::CompiledWasmModule>>>,
    import_times: OnceLock<HashMap<String, Duration>>,
}

/// The source map with the paths of this machine, so that what debuggers show can be opened.
#[derive(Debug)]
pub struct DebugMap {
    /// The map, which stacks are made with.
    pub json: Vec<u8>,
    /// The same map as a `data:` URL, as debuggers want it.
    pub url: String,
}

/// A code cache as it is now, and how many there were before it.
#[derive(Clone, Default)]
pub(crate) struct CodeCache {
    pub(crate) bytes: Option<Arc<[u8]>>,
    pub(crate) version: u64,
}

impl Program {
    /// A program from a bundle that is pure ASCII and its source map (JSON, source map format version 3), whose bytes are
    /// asked for when the first error is mapped.
    pub fn new(
        code: &str,
        source_map: Option<Arc<dyn AsRef<[u8]> + Send + Sync>>,
    ) -> Result<Self, ProgramError> {
        if !code.is_ascii() {
            return Err(ProgramError::NotAscii);
        }
        Ok(Self {
            code: code.as_bytes().into(),
            source_map,
            env: "{}".to_string(),
            resources: "{}".to_string(),
            process_env: HashMap::new(),
            cf: "{}".to_string(),
            parties: vec!["main".to_string()],
            files: HashMap::new(),
            host: "127.0.0.1:1999".to_string(),
            conceal_errors: false,
            debug: None,
            wasm: Vec::new(),
            binaries: Vec::new(),
            code_cache: Mutex::default(),
            compiled_wasm: Mutex::default(),
            import_times: OnceLock::new(),
        })
    }

    /// Remembers how long the modules of each party took the edge, which imports them all before there is any room.
    pub(crate) fn note_import_times(&self, times: impl Iterator<Item = (String, Duration)>) {
        let _known = self.import_times.set(times.collect());
    }

    /// The parties whose modules the edge has evaluated, and how long those took.
    pub(crate) fn import_times(&self) -> impl Iterator<Item = (&String, Duration)> {
        self.import_times.get().into_iter().flatten().map(|(party, took)| (party, *took))
    }

    /// The settings that `boot` in `js/90_dispatch.js` reads; `shared` says that rooms share the isolate.
    pub(crate) fn settings(&self, limits: &Limits, shared: bool) -> String {
        let debug = self.debug.is_some();
        let limits = serde_json::json!({
            "message_out_bytes_max": limits.message_out_bytes_max,
            "timers_max": limits.timers_max,
            "attachment_bytes_max": limits.attachment_bytes_max,
            "tags_max": limits.tags_max,
            "tag_chars_max": limits.tag_chars_max,
            "inflated_chunk_bytes_max": limits.inflated_chunk_bytes_max,
            "external_bytes_max": limits.external_bytes_max,
            "pbkdf2_rounds_max": limits.pbkdf2_rounds_max,
            "scrypt_bytes_max": limits.scrypt_bytes_max,
            "scrypt_work_bytes_max": limits.scrypt_work_bytes_max,
            "rsa_bits_max": limits.rsa_bits_max,
            "key_text_bytes_max": limits.key_text_bytes_max,
            "rsa_generated_bits_max": limits.rsa_generated_bits_max,
            "dh_bits_max": limits.dh_bits_max,
            "prime_bits_max": limits.prime_bits_max,
            "safe_prime_bits_max": limits.safe_prime_bits_max,
            "host_name_chars_max": limits.host_name_chars_max,
            "prime_checks_max": limits.prime_checks_max,
            "rejections_printed_max": limits.rejections_printed_max,
        });
        let settings = serde_json::json!({
            "limits": limits,
            "env": self.process_env,
            "cf": self.cf,
            "debug": debug,
            "conceal": self.conceal_errors,
            "shared": shared,
            "tracing": partyrun_telemetry::tracer().is_some(),
            "files": self.files,
            "clock": partyrun_clock::is_movable(),
        });
        settings.to_string()
    }

    /// The npm packages whose files are in the bundle, with the bytes of those files, the largest first.
    pub fn packages(&self) -> Vec<(String, usize)> {
        let map = self.source_map.as_deref().map(|map| serde_json::from_slice::<Sources>(map.as_ref()));
        let Some(Ok(map)) = map else { return Vec::new() };
        let mut sizes: HashMap<String, usize> = HashMap::new();
        for (source, text) in map.sources.iter().zip(&map.sources_content) {
            if let (Some(package), Some(text)) = (package(source), text) {
                *sizes.entry(package).or_default() += text.len();
            }
        }
        let mut sizes: Vec<_> = sizes.into_iter().collect();
        sizes.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        sizes
    }

    /// The cache of an earlier run, from disk. One that V8 does not accept is dropped at the first use.
    pub fn set_code_cache(&self, cache: Vec<u8>) {
        self.put_code_cache(Some(cache));
    }

    /// The cache as it is now, to be kept on disk.
    pub fn code_cache(&self) -> Option<Arc<[u8]>> {
        self.latest_code_cache().bytes
    }

    pub(crate) fn latest_code_cache(&self) -> CodeCache {
        lock(&self.code_cache).clone()
    }

    pub(crate) fn put_code_cache(&self, cache: Option<Vec<u8>>) {
        let mut kept = lock(&self.code_cache);
        *kept = CodeCache { bytes: cache.map(Into::into), version: kept.version + 1 };
    }

    /// Keeps a cache that an isolate made. It has what the one had that the isolate was made with, and more. If there is
    /// another one by now, that has functions of other parties or events, which would be lost.
    pub(crate) fn replace_code_cache(&self, made_with: u64, cache: Vec<u8>) {
        let mut kept = lock(&self.code_cache);
        if kept.version == made_with {
            *kept = CodeCache { bytes: Some(cache.into()), version: made_with + 1 };
        }
    }

    pub(crate) fn compiled_wasm(&self, index: u32) -> Option<Arc<v8::CompiledWasmModule>> {
        lock(&self.compiled_wasm).get(&index).cloned()
    }

    pub(crate) fn keep_wasm(&self, index: u32, module: v8::CompiledWasmModule) {
        lock(&self.compiled_wasm).insert(index, Arc::new(module));
    }

    /// The bundle as a string of the isolate that `scope` belongs to, without a copy.
    pub(crate) fn source<'s>(&self, scope: &v8::PinScope<'s, '_, ()>) -> Option<v8::Local<'s, v8::String>> {
        let code = self.code.clone();
        let length = code.len();
        let pointer = Arc::into_raw(code);
        // SAFETY: the Arc that `into_raw` gave away keeps the bytes alive until V8 calls the destructor, once, with the
        // same pointer and length. V8 never writes through the pointer.
        let source = unsafe {
            v8::String::new_external_onebyte_raw(
                scope,
                pointer.cast::<c_char>().cast_mut(),
                length,
                release_code,
            )
        };
        if source.is_none() {
            // SAFETY: V8 made no string, so that nobody else gives this reference back.
            drop(unsafe { Arc::from_raw(pointer) });
        }
        source
    }
}

// The parts of a source map that tell which files are in a bundle.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sources {
    sources: Vec<String>,
    #[serde(default)]
    sources_content: Vec<Option<String>>,
}

// The package that a file belongs to.
fn package(path: &str) -> Option<String> {
    let (_, inside) = path.rsplit_once("node_modules/")?;
    let mut parts = inside.split('/');
    let name = parts.next()?;
    Some(if name.starts_with('@') { format!("{name}/{}", parts.next()?) } else { name.to_string() })
}

unsafe extern "C" fn release_code(pointer: *mut c_char, length: usize) {
    let bytes = std::ptr::slice_from_raw_parts(pointer.cast::<u8>().cast_const(), length);
    // SAFETY: `source` gave away exactly this reference of an `Arc<[u8]>` of this length.
    drop(unsafe { Arc::from_raw(bytes) });
}

// A thread that panicked while it held one of these locks left a whole value behind: each is replaced in one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a bundle cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The linker escapes everything else.
    #[error("the bundle holds characters beyond ASCII")]
    NotAscii,
}

/// Answers deno_core's questions about source maps, once there is a program. The bundle is a classic script, so that
/// nothing is ever imported.
#[derive(Default)]
pub(crate) struct Loader(OnceCell<Arc<Program>>);

impl Loader {
    /// Gives the heap that asks its program.
    pub(crate) fn set(&self, program: Arc<Program>) {
        // A heap gets one program in its life.
        let _first = self.0.set(program);
    }
}

impl ModuleLoader for Loader {
    fn resolve(
        &self,
        specifier: &str,
        _referrer: &str,
        _kind: ResolutionKind,
    ) -> Result<ModuleSpecifier, ModuleLoaderError> {
        Err(JsErrorBox::type_error(format!(
            "Cannot import \"{specifier}\": it was not part of the project's build."
        )))
    }

    fn load(
        &self,
        specifier: &ModuleSpecifier,
        _referrer: Option<&ModuleLoadReferrer>,
        _options: ModuleLoadOptions,
    ) -> ModuleLoadResponse {
        let error = JsErrorBox::type_error(format!(
            "Cannot import \"{specifier}\": it was not part of the project's build."
        ));
        ModuleLoadResponse::Sync(Err(error))
    }

    fn get_source_map(&self, file_name: &str) -> Option<Cow<'_, [u8]>> {
        if file_name != BUNDLE_NAME {
            return None;
        }
        let program = self.0.get()?;
        let plain = || program.source_map.as_deref().map(AsRef::as_ref);
        program.debug.as_ref().map(|debug| debug.json.as_slice()).or_else(plain).map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_listed_by_the_size_of_their_files() {
        let map = r#"{
            "sources": [
                "server.ts", "node_modules/zod/a.js",
                "../node_modules/.pnpm/x@1/node_modules/@a/b/c.js", "node_modules/zod/b.js"
            ],
            "sourcesContent": ["long long", "abc", "abcd", "de"]
        }"#;
        let program = Program::new("", Some(Arc::new(map.as_bytes().to_vec()))).unwrap();
        assert_eq!(program.packages(), [("zod".to_string(), 5), ("@a/b".to_string(), 4)]);
        assert_eq!(Program::new("", None).unwrap().packages(), []);
    }
}
