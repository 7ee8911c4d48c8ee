//! Transforming: source text of one module to its record. Parses, strips types, compiles JSX, decorators and what else
//! V8 does not run, applies defines, and hands the tree to `scan`. It reads nothing but its arguments, so the result
//! can be kept by content. Whatever the source is, it returns: a panic inside swc becomes an error of that file.

use swc_common::{
    GLOBALS, Globals, Mark, SourceMap, Spanned, SyntaxContext, comments::SingleThreadedComments, sync::Lrc,
};
use swc_ecma_ast::{DebuggerStmt, EsVersion, Expr, ModuleDecl, ModuleItem, Pass, Program, Stmt};
use swc_ecma_parser::{
    EsSyntax, Syntax, TsSyntax, error::SyntaxError, parse_file_as_commonjs, parse_file_as_expr,
    parse_file_as_module, parse_file_as_program,
};
use swc_ecma_transforms_base::{
    helpers::{HELPERS, Helpers, inject_helpers},
    resolver,
};
use swc_ecma_transforms_proposal::{decorator_2023_11, decorators, explicit_resource_management};
use swc_ecma_transforms_react::{Options as JsxOptions, Runtime, react};
use swc_ecma_transforms_typescript::{Config as TypeConfig, TsxConfig, tsx, typescript};
use swc_ecma_visit::{VisitMutWith, VisitWith};

use crate::ambient;
use crate::constants;
use crate::declared;
use crate::decorated::InstanceFirst;
use crate::diagnostic::Problems;
use crate::element_text::ElementText;
use crate::elements;
use crate::fields::AssignFields;
use crate::fold::{Defines, Fold};
use crate::namespaces;
use crate::nesting;
use crate::of;
use crate::page::Certain;
use crate::print::Printer;
use crate::probe::Probe;
use crate::purity::Purity;
use crate::record::{ModuleForm, ModuleRecord};
use crate::scan::{Scan, scan};
use crate::settings::{ModuleHint, Settings};
use crate::strict::Strict;

/// Makes the record of a JavaScript or TypeScript source.
pub(crate) fn transform(source: &str, settings: &Settings) -> Result<ModuleRecord, Problems> {
    let work = || {
        GLOBALS.set(&Globals::new(), || {
            HELPERS.set(&Helpers::new(false), || transform_in_globals(source, settings))
        })
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(vec![(0, "The compiler failed on this file".to_string())]))
}

struct Parsed {
    program: Program,
    source_map: Lrc<SourceMap>,
    comments: SingleThreadedComments,
    start: swc_common::BytePos,
    end: swc_common::BytePos,
}

fn syntax(settings: &Settings) -> Syntax {
    if settings.typescript {
        return Syntax::Typescript(TsSyntax { tsx: settings.jsx, decorators: true, ..Default::default() });
    }
    Syntax::Es(EsSyntax {
        jsx: settings.jsx,
        decorators: true,
        decorators_before_export: true,
        import_attributes: true,
        allow_super_outside_method: true,
        auto_accessors: true,
        explicit_resource_management: true,
        ..Default::default()
    })
}

fn parse(source: &str, settings: &Settings) -> Result<Parsed, Problems> {
    let first = match parse_text(source, settings) {
        Ok(parsed) => return Ok(parsed),
        Err(errors) => errors,
    };
    let mut variables = of::Variables::default();
    let mut ends: Vec<usize> = first.empty_declarations.clone();
    while variables.add(source, ends.iter().copied()) {
        match parse_text(&variables.renamed(source), settings) {
            Ok(mut parsed) => {
                parsed.program.visit_mut_with(&mut variables.named(parsed.start.0));
                parsed.source_map = Lrc::default();
                parsed.source_map.new_source_file(swc_common::FileName::Anon.into(), source.to_string());
                return Ok(parsed);
            }
            Err(errors) => ends = errors.empty_declarations,
        }
    }
    Err(first.problems)
}

struct ParseErrors {
    problems: Problems,
    /// Where variables are declared and the parser found none: behind `const`, `let` or `var`.
    empty_declarations: Vec<usize>,
}

fn parse_text(source: &str, settings: &Settings) -> Result<Parsed, ParseErrors> {
    let source_map: Lrc<SourceMap> = Lrc::default();
    let file = source_map.new_source_file(swc_common::FileName::Anon.into(), source.to_string());
    let target = EsVersion::EsNext;
    let attempt = |grammar: ModuleHint| {
        let comments = SingleThreadedComments::default();
        let mut recovered = Vec::new();
        let (syntax, kept) = (syntax(settings), Some(&comments as &dyn swc_common::comments::Comments));
        let parsed = match grammar {
            ModuleHint::Esm => {
                parse_file_as_module(&file, syntax, target, kept, &mut recovered).map(Program::Module)
            }
            ModuleHint::CommonJs => {
                parse_file_as_commonjs(&file, syntax, target, kept, &mut recovered).map(Program::Script)
            }
            ModuleHint::None => parse_file_as_program(&file, syntax, target, kept, &mut recovered),
        };
        match parsed {
            Ok(program) if recovered.is_empty() => Ok((program, comments)),
            Ok(_) => Err(recovered),
            Err(error) => {
                recovered.insert(0, error);
                Err(recovered)
            }
        }
    };
    let problems = |errors: Vec<swc_ecma_parser::error::Error>| {
        let offset =
            |error: &swc_ecma_parser::error::Error| error.span().lo.0.saturating_sub(file.start_pos.0);
        let is_empty = |error: &&swc_ecma_parser::error::Error| matches!(error.kind(), SyntaxError::TS1123);
        let empty_declarations = errors.iter().filter(is_empty).map(|error| offset(error) as usize).collect();
        let mut problems: Problems =
            errors.iter().map(|error| (offset(error), error.kind().msg().into_owned())).collect();
        problems.dedup_by_key(|problem| problem.0);
        problems.truncate(10);
        ParseErrors { problems, empty_declarations }
    };
    // A file without module syntax may still be CommonJS with a top-level `return`.
    let result = attempt(ModuleHint::None)
        .or_else(|errors| attempt(ModuleHint::CommonJs).map_err(|_| errors))
        .map_err(problems)?;
    let (program, comments) = result;
    Ok(Parsed { program, comments, start: file.start_pos, end: file.end_pos, source_map })
}

fn transform_in_globals(source: &str, settings: &Settings) -> Result<ModuleRecord, Problems> {
    if let Some(offset) = nesting::too_deep(source) {
        return Err(vec![(offset, too_deep_message())]);
    }
    let Parsed { mut program, source_map, comments, start, end } = parse(source, settings)?;
    let of_elements = settings.jsx.then(|| elements::settings(settings, &comments));
    let settings = of_elements.as_ref().unwrap_or(settings);
    let probe = Probe::of(&program);
    if probe.scopes_max > nesting::NESTING_DEPTH_MAX {
        return Err(vec![(0, too_deep_message())]);
    }
    let (unresolved_mark, top_level_mark) = (Mark::new(), Mark::new());
    let unresolved = SyntaxContext::empty().apply_mark(unresolved_mark);
    if settings.typescript {
        ambient::remove(&mut program);
        if !settings.verbatim_imports {
            ambient::remove_empty_imports(&mut program, source, start.0);
        }
    }
    resolver(unresolved_mark, top_level_mark, settings.typescript).process(&mut program);
    if program.is_script() {
        let mut strict = Strict { unresolved, start: start.0, errors: Vec::new() };
        program.visit_mut_with(&mut strict);
        if !strict.errors.is_empty() {
            return Err(strict.errors);
        }
    }
    if settings.typescript {
        namespaces::connect(&mut program, unresolved);
    }
    let written = constants::written(&program, start.0);
    if !written.is_empty() {
        return Err(written);
    }
    lower(&mut program, settings, &probe, (unresolved_mark, top_level_mark), &source_map, &comments);
    let repeated = declared::repeated(&program, start.0);
    if !repeated.is_empty() {
        return Err(repeated);
    }
    let defines = parse_defines(&settings.defines, unresolved)?;
    program.visit_mut_with(&mut Fold { defines: &defines, unresolved });
    if settings.pause_first {
        pause_first(&mut program);
    }
    let form = form(&program, &probe, settings.hint, unresolved);
    let printer = Printer { source_map, start, end, minify: settings.minify };
    let purity = Purity { comments: &comments, unresolved };
    let top_level_await = probe.top_level_await;
    let Certain { needs_page, required, .. } = Certain::of(&program, unresolved);
    let record = scan(program, &Scan { form, top_level_await, unresolved, printer: &printer, purity })?;
    Ok(ModuleRecord { needs_page, required, ..record })
}

/// Puts a `debugger` statement before the first statement that runs, and at its place in the source.
fn pause_first(program: &mut Program) {
    let pause = |span| Stmt::Debugger(DebuggerStmt { span });
    match program {
        Program::Module(module) => {
            let is_import = |item: &ModuleItem| matches!(item, ModuleItem::ModuleDecl(ModuleDecl::Import(_)));
            let first = module.body.iter().position(|item| !is_import(item)).unwrap_or(module.body.len());
            let span = module.body.get(first).map_or(module.span, Spanned::span);
            module.body.insert(first, ModuleItem::Stmt(pause(span)));
        }
        Program::Script(script) => {
            let span = script.body.first().map_or(script.span, Spanned::span);
            script.body.insert(0, pause(span));
        }
    }
}

fn too_deep_message() -> String {
    format!("The code is nested more than {} levels deep", nesting::NESTING_DEPTH_MAX)
}

/// Everything that is not plain JavaScript of this V8 becomes plain JavaScript.
fn lower(
    program: &mut Program,
    settings: &Settings,
    probe: &Probe,
    (unresolved_mark, top_level_mark): (Mark, Mark),
    source_map: &Lrc<SourceMap>,
    comments: &SingleThreadedComments,
) {
    if probe.decorators && settings.legacy_decorators {
        program.visit_mut_with(&mut InstanceFirst);
        decorators(decorators::Config {
            legacy: true,
            emit_metadata: settings.decorator_metadata,
            use_define_for_class_fields: !settings.assign_fields,
        })
        .process(program);
    } else if probe.decorators || probe.accessors {
        decorator_2023_11::decorator_2023_11().process(program);
    }
    if probe.top_level_using {
        // V8 runs `using` everywhere but at the top level of a bundled module, whose end is not a block's end.
        explicit_resource_management::explicit_resource_management().process(program);
    }
    if settings.assign_fields {
        program.visit_mut_with(&mut AssignFields::default());
    }
    if settings.typescript {
        let config = TypeConfig {
            verbatim_module_syntax: settings.verbatim_imports,
            native_class_properties: !settings.assign_fields,
            no_empty_export: true,
            ..Default::default()
        };
        if settings.jsx {
            let names = TsxConfig {
                pragma: settings.jsx_factory.clone().map(Into::into),
                pragma_frag: settings.jsx_fragment.clone().map(Into::into),
            };
            tsx(source_map.clone(), config, names, comments.clone(), unresolved_mark, top_level_mark)
                .process(program);
        } else {
            typescript(config, unresolved_mark, top_level_mark).process(program);
        }
    }
    if probe.jsx {
        program.visit_mut_with(&mut ElementText);
        let options = JsxOptions {
            runtime: Some(if settings.jsx_automatic { Runtime::Automatic } else { Runtime::Classic }),
            import_source: settings.jsx_source.clone().map(Into::into),
            pragma: settings.jsx_factory.clone().map(Into::into),
            pragma_frag: settings.jsx_fragment.clone().map(Into::into),
            development: Some(settings.jsx_development),
            ..Default::default()
        };
        react(source_map.clone(), Some(comments.clone()), options, top_level_mark, unresolved_mark)
            .process(program);
    }
    inject_helpers(unresolved_mark).process(program);
}

fn form(program: &Program, probe: &Probe, hint: ModuleHint, unresolved: SyntaxContext) -> ModuleForm {
    if probe.exports || probe.top_level_await {
        return ModuleForm::Esm;
    }
    let mut uses = crate::probe::CommonJsUse::new(unresolved);
    program.visit_with(&mut uses);
    // What the code does counts more than what its package says: UMD files are found in `"type": "module"` packages.
    if uses.found || probe.top_level_return {
        return ModuleForm::CommonJs;
    }
    if probe.module_syntax || hint == ModuleHint::Esm {
        ModuleForm::Esm
    } else if probe.top_level_this || hint == ModuleHint::CommonJs {
        ModuleForm::CommonJs
    } else {
        ModuleForm::Unknown
    }
}

/// Parses the configured expressions; their free names belong to no scope of the module.
fn parse_defines(defines: &[(String, String)], unresolved: SyntaxContext) -> Result<Defines, Problems> {
    let mut parsed = Defines::default();
    for (name, value) in defines {
        let source_map: Lrc<SourceMap> = Lrc::default();
        let file = source_map.new_source_file(swc_common::FileName::Anon.into(), value.clone());
        let syntax = Syntax::Es(EsSyntax::default());
        let mut expr: Box<Expr> = parse_file_as_expr(&file, syntax, EsVersion::EsNext, None, &mut Vec::new())
            .map_err(|error| vec![(0, format!("`define` of `{name}`: {}", error.kind().msg()))])?;
        // The parser stops after the first expression.
        let end = expr.span_hi().0.saturating_sub(file.start_pos.0) as usize;
        if value.get(end..).is_some_and(|rest| !rest.trim_matches([' ', '\t', '\n', ')', ';']).is_empty()) {
            return Err(vec![(0, format!("`define` of `{name}` is not one expression: {value}"))]);
        }
        expr.visit_mut_with(&mut crate::probe::Generated { unresolved });
        parsed.insert(name.clone(), expr);
    }
    Ok(parsed)
}
