//! What TypeScript files become besides elements, by the nearest `tsconfig.json` of each: whether a class field is defined or
//! assigned, what a decorator is, whether an import stays that only names types. All as with esbuild. rolldown asks the
//! entry's configuration for all files, and where that names no `target` it assigns fields that esbuild defines. So the files
//! for which its answer would be another one are transformed here, with rolldown's own transformer, before it sees them.

use oxc_span::SourceType;
use rolldown_common::bundler_options::{
    CompilerAssumptions, DecoratorOptions, Either, EnhancedTransformOptions, TsconfigOption,
    TypeScriptOptions, enhanced_transform,
};
use rolldown_sourcemap::SourceMap;
use serde_json::{Map, Value};

/// The first edition of ECMAScript with class fields.
const FIELDS_SINCE: u32 = 2022;

/// What the options of a configuration mean for its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Typing {
    /// Class fields are defined, not assigned.
    defines: bool,
    /// Decorators are those of TypeScript before the standard.
    legacy: bool,
    /// Imports stay although nothing uses their values.
    verbatim: bool,
}

impl Default for Typing {
    fn default() -> Self {
        Self { defines: true, legacy: false, verbatim: false }
    }
}

impl Typing {
    /// What a file becomes whose configuration says this.
    pub(crate) fn of(options: &Map<String, Value>) -> Self {
        let is_set = |name: &str| options.get(name).and_then(Value::as_bool);
        let verbatim = is_set("verbatimModuleSyntax").or(is_set("preserveValueImports")).unwrap_or(false);
        Self { verbatim, ..Self::with(options, true) }
    }

    /// What rolldown makes of every file where the entry's configuration says this.
    pub(crate) fn of_rolldown(options: &Map<String, Value>) -> Self {
        let is_set = |name: &str| options.get(name).and_then(Value::as_bool);
        let unused = options.get("importsNotUsedAsValues").and_then(Value::as_str);
        let preserves = is_set("preserveValueImports");
        // Its own table of the old options.
        let old = (preserves.is_some() || unused.is_some())
            && !preserves.unwrap_or(false)
            && unused.is_none_or(|unused| unused == "remove");
        Self { verbatim: is_set("verbatimModuleSyntax").unwrap_or(old), ..Self::with(options, false) }
    }

    fn with(options: &Map<String, Value>, without_target: bool) -> Self {
        let is_set = |name: &str| options.get(name).and_then(Value::as_bool);
        let target = options.get("target").and_then(Value::as_str).map(str::to_ascii_lowercase);
        let implied = match target.as_deref() {
            None => without_target,
            Some("esnext") => true,
            Some(target) => target
                .strip_prefix("es")
                .and_then(|year| year.parse().ok())
                .is_some_and(|year: u32| year >= FIELDS_SINCE),
        };
        Self {
            defines: is_set("useDefineForClassFields").unwrap_or(implied),
            legacy: is_set("experimentalDecorators").unwrap_or(false),
            verbatim: false,
        }
    }

    /// The code of a file without types, and the map to it; none where something is wrong with the code, which rolldown says.
    pub(crate) fn apply(
        self,
        file: &str,
        code: &str,
        has_elements: bool,
    ) -> Option<(String, Option<SourceMap>)> {
        let options = EnhancedTransformOptions {
            // Elements are rolldown's.
            jsx: Some(Either::Left("preserve".to_owned())),
            assumptions: Some(CompilerAssumptions {
                set_public_class_fields: Some(!self.defines),
                ..CompilerAssumptions::default()
            }),
            decorator: Some(DecoratorOptions { legacy: Some(self.legacy), ..DecoratorOptions::default() }),
            typescript: Some(TypeScriptOptions {
                // What is only an element's factory looks unused.
                only_remove_type_imports: Some(self.verbatim),
                remove_class_fields_without_initializer: Some(!self.defines),
                ..TypeScriptOptions::default()
            }),
            source_type: Some(if has_elements { SourceType::tsx() } else { SourceType::ts() }),
            tsconfig: Some(TsconfigOption::Disabled),
            sourcemap: true,
            ..EnhancedTransformOptions::default()
        };
        let done = enhanced_transform(file, code, options, false);
        done.errors.is_empty().then_some((done.code, done.map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typing(options: Value) -> Typing {
        Typing::of(options.as_object().unwrap())
    }

    #[test]
    fn fields_are_defined_unless_an_old_target_is_named() {
        for (options, defines) in [
            (serde_json::json!({}), true),
            (serde_json::json!({ "target": "ES2021" }), false),
            (serde_json::json!({ "target": "es2022" }), true),
            (serde_json::json!({ "target": "ESNext" }), true),
            (serde_json::json!({ "target": "es5" }), false),
            (serde_json::json!({ "target": "es5", "useDefineForClassFields": true }), true),
            (serde_json::json!({ "useDefineForClassFields": false }), false),
        ] {
            assert_eq!(typing(options.clone()).defines, defines, "{options}");
        }
        let nothing = Map::new();
        assert!(!Typing::of_rolldown(&nothing).defines && Typing::of(&nothing) == Typing::default());
    }

    #[test]
    fn files_are_transformed_as_they_say() {
        let code = "import { T } from './t'; class A { declared: T; a = 1 }";
        let apply = |options| typing(options).apply("/a.ts", code, false).unwrap().0;
        let assigned = apply(serde_json::json!({ "target": "es2020" }));
        assert!(assigned.contains("this.a = 1") && !assigned.contains("import"), "{assigned}");
        let verbatim = apply(serde_json::json!({ "verbatimModuleSyntax": true }));
        assert!(verbatim.contains("import") && verbatim.contains("declared;"), "{verbatim}");
        let element = typing(serde_json::json!({})).apply("/a.tsx", "const a: any = <b/>;", true).unwrap().0;
        assert!(element.contains("<b"), "{element}");
        assert!(typing(serde_json::json!({})).apply("/a.ts", "class {", false).is_none());
    }
}
