//! The typed mirror of a configuration file: what was written, before it means anything.
//!
//! `validate` has accepted the values, so deserializing cannot fail on a type; a test keeps this mirror and the table
//! of fields equal. Fields that only the hosted platform reads are not here.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A string, or several.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// A short form (a string or a flag), or the full object.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Short<S, F> {
    Short(S),
    Full(F),
}

/// `persist` as written.
pub(crate) type RawPersist = Short<bool, String>;

/// A configuration file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawConfig {
    pub(crate) name: Option<String>,
    pub(crate) main: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) parties: IndexMap<String, String>,
    pub(crate) serve: Option<Short<String, RawServe>>,
    pub(crate) persist: Option<RawPersist>,
    pub(crate) vars: Map<String, Value>,
    pub(crate) define: IndexMap<String, String>,
    pub(crate) build: RawBuild,
    pub(crate) minify: Option<bool>,
    pub(crate) isolation: Option<String>,
    pub(crate) compression: Option<Short<bool, RawCompression>>,
    pub(crate) allowed_origins: Option<OneOrMany>,
    pub(crate) cors: Option<Short<bool, RawCors>>,
    pub(crate) compatibility_date: Option<String>,
    pub(crate) compatibility_flags: Vec<String>,
    pub(crate) crons: IndexMap<String, String>,
    pub(crate) ai: Option<Short<bool, RawAi>>,
    pub(crate) vectorize: IndexMap<String, Short<String, RawVectorIndex>>,
    pub(crate) bindings: RawBindings,
}

/// `compression` as an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawCompression {
    pub(crate) min_bytes: Option<f64>,
    pub(crate) level: Option<f64>,
    pub(crate) context_takeover: bool,
}

/// `cors` as an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawCors {
    pub(crate) origins: Option<OneOrMany>,
    pub(crate) methods: Vec<String>,
    pub(crate) headers: Vec<String>,
    pub(crate) expose_headers: Vec<String>,
    pub(crate) credentials: bool,
    pub(crate) max_age: Option<f64>,
}

/// `serve` as an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawServe {
    pub(crate) path: Option<String>,
    pub(crate) build: Option<Short<String, RawClientBuild>>,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    #[serde(rename = "browserTTL")]
    pub(crate) browser_ttl: Option<f64>,
    pub(crate) single_page_app: bool,
}

/// `serve.build` as an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct RawClientBuild {
    pub(crate) entry: Option<OneOrMany>,
    pub(crate) bundle: Option<bool>,
    pub(crate) splitting: Option<bool>,
    pub(crate) external: Vec<String>,
    pub(crate) outdir: Option<String>,
    pub(crate) minify: Option<bool>,
    pub(crate) alias: IndexMap<String, String>,
    pub(crate) format: Option<Format>,
    pub(crate) live: bool,
    pub(crate) sourcemap: Option<bool>,
    pub(crate) define: IndexMap<String, String>,
    pub(crate) loader: IndexMap<String, String>,
}

/// The module format of a client build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// ECMAScript modules.
    #[default]
    Esm,
    /// CommonJS.
    Cjs,
    /// A script that runs at once.
    Iife,
}

/// `build`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct RawBuild {
    pub(crate) command: Option<String>,
    pub(crate) cwd: Option<String>,
    pub(crate) watch: Option<OneOrMany>,
    pub(crate) alias: IndexMap<String, String>,
}

/// `ai` as an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawAi {
    pub(crate) api_gateway: Option<String>,
    pub(crate) api_token: Option<String>,
    pub(crate) api_account: Option<String>,
}

/// A vector index as an object.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct RawVectorIndex {
    pub(crate) index_name: String,
}

/// `bindings`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct RawBindings {
    pub(crate) r2: IndexMap<String, String>,
    pub(crate) kv: IndexMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{FIELDS, Field, Kind, Object, Reader};

    fn nested(kind: Kind) -> Option<&'static Object> {
        match kind {
            Kind::Object(object) => Some(object),
            Kind::Either(kinds) => kinds.iter().find_map(|kind| nested(*kind)),
            _ => None,
        }
    }

    /// Each field's example must change the mirror, else the mirror lacks the field.
    fn check(fields: &[Field], wrap: &dyn Fn(Value) -> Value) {
        let empty: RawConfig = serde_json::from_value(wrap(Value::Object(Map::new()))).expect("empty");
        for field in fields.iter().filter(|f| f.reader == Reader::Partyrun && f.name != "$schema") {
            let example: Value = serde_json::from_str(field.example).expect(field.name);
            let object = Value::Object([(field.name.to_owned(), example)].into_iter().collect());
            let mirror: RawConfig = serde_json::from_value(wrap(object)).expect(field.name);
            assert_ne!(mirror, empty, "{} is missing in the mirror", field.name);
            if let Some(object) = nested(field.kind) {
                let name = field.name.to_owned();
                check(object.fields, &move |inner| {
                    wrap(Value::Object([(name.clone(), inner)].into_iter().collect()))
                });
            }
        }
    }

    #[test]
    fn the_mirror_has_every_field_of_the_table() {
        check(FIELDS, &|value| value);
    }
}
