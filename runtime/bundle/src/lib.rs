//! scratch
mod diagnostic;
mod fold;
mod hoist;
mod marker;
mod print;
mod probe;
mod purity;
mod record;
mod rewrite;
mod scan;
mod transform;
pub fn debug(source: &str) -> String { format!("{:#?}", transform::transform(source, &transform::Settings{typescript:true,..Default::default()})) }
