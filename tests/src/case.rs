//! A case: what it shows, where it runs, which server it needs, and its steps.
//!
//! Read from `cases.json5` or `cases/*.json5` of a fixture. `covers` names rows of `tests/coverage/`.

use crate::data::{DataError, Node, Place};
use crate::runtime::Runtime;
use crate::step::{Action, Step, read_file_text, read_steps};

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Where it stands.
    pub place: Place,
    /// What it shows, in one sentence.
    pub name: String,
    /// Ids of the rows that would be untrue if it failed.
    pub covers: Vec<(Place, String)>,
    /// Why ours deliberately differs; such a case runs on partyrun only.
    pub better: Option<String>,
    /// Why only the original does this; such a case runs on the original only.
    pub original_only: Option<String>,
    /// The ways in which it runs beside the fresh one.
    pub variants: Vec<Variant>,
    /// What its server needs.
    pub server: ServerSpec,
    /// The limit of the whole case.
    pub limit_ms: Option<u64>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// How a case is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// From beginning to end.
    Fresh,
    /// The room leaves memory (or hibernates) at the `interrupt` step.
    Evict,
    /// The server is stopped and started there.
    Restart,
    /// The server is killed and started there.
    Kill,
}

impl Variant {
    /// The name in the data and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Evict => "evict",
            Self::Restart => "restart",
            Self::Kill => "kill",
        }
    }
}

/// What the server of a case needs.
#[derive(Debug, Clone, Default)]
pub struct ServerSpec {
    /// No other case may use it.
    pub own: bool,
    /// There is none: the case runs commands.
    pub none: bool,
    /// The script argument of `dev`.
    pub entry: Option<String>,
    /// Further arguments of `dev`.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Files written over the project before it starts.
    pub files: Vec<(String, String)>,
}

/// Reads the cases of one file.
pub fn read_cases(node: &Node) -> Result<Vec<Case>, DataError> {
    node.list()?.iter().map(read_case).collect()
}

fn read_case(node: &Node) -> Result<Case, DataError> {
    let mut fields = node.fields()?;
    let name = fields.need("name")?.text()?.to_owned();
    let covers = match fields.take("covers") {
        Some(list) => {
            let ids = list.list()?.iter().map(|id| Ok((id.place.clone(), id.text()?.to_owned())));
            ids.collect::<Result<_, DataError>>()?
        }
        None => Vec::new(),
    };
    let text = |node: Option<&Node>| node.map(|node| node.text().map(str::to_owned)).transpose();
    let better = text(fields.take("better"))?;
    let original_only = text(fields.take("original_only"))?;
    if better.is_some() && original_only.is_some() {
        return Err(node.error("a case is either `better` or `original_only`"));
    }
    let variants = match fields.take("variants") {
        Some(list) => list.list()?.iter().map(read_variant).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let server = fields.take("server").map(read_server).transpose()?.unwrap_or_default();
    let limit_ms = fields.take("limit_ms").map(Node::count).transpose()?;
    let steps = read_steps(fields.need("steps")?)?;
    fields.finish()?;
    let has_interrupt = any_step(&steps, &|action| matches!(action, Action::Interrupt(_)));
    if has_interrupt == variants.is_empty() {
        return Err(node.error("`variants` and a step `interrupt` belong together"));
    }
    let place = node.place.clone();
    Ok(Case { place, name, covers, better, original_only, variants, server, limit_ms, steps })
}

fn read_variant(node: &Node) -> Result<Variant, DataError> {
    match node.text()? {
        "evict" => Ok(Variant::Evict),
        "restart" => Ok(Variant::Restart),
        "kill" => Ok(Variant::Kill),
        other => Err(node.error(format!("a variant is \"evict\", \"restart\" or \"kill\", not `{other}`"))),
    }
}

/// Reads what a server needs; `fixture.json5` has the same shape.
pub fn read_server(node: &Node) -> Result<ServerSpec, DataError> {
    let mut fields = node.fields()?;
    let flag = |node: Option<&Node>| node.map(Node::bool).transpose().map(Option::unwrap_or_default);
    let mut spec = ServerSpec {
        own: flag(fields.take("own"))?,
        none: flag(fields.take("none"))?,
        entry: fields.take("entry").map(|entry| entry.text().map(str::to_owned)).transpose()?,
        args: fields.take("args").map(Node::texts).transpose()?.unwrap_or_default(),
        env: fields.take("env").map(Node::text_map).transpose()?.unwrap_or_default(),
        files: Vec::new(),
    };
    if let Some(files) = fields.take("files") {
        let files = files.entries()?.iter().map(|(path, text)| (path.clone(), read_file_text(text)));
        spec.files = files.collect();
    }
    fields.finish()?;
    Ok(spec)
}

/// True when a step, or one inside it, is of the kind.
pub fn any_step(steps: &[Step], is: &dyn Fn(&Action) -> bool) -> bool {
    steps.iter().any(|step| {
        is(&step.action)
            || match &step.action {
                Action::Parallel(groups) => groups.iter().any(|group| any_step(group, is)),
                Action::Repeat { steps, .. } => any_step(steps, is),
                Action::Eventually(step) => any_step(std::slice::from_ref(step), is),
                _ => false,
            }
    })
}

impl Case {
    /// True when it runs there at all.
    pub fn runs_on(&self, runtime: Runtime) -> bool {
        match runtime {
            Runtime::Partyrun => self.original_only.is_none(),
            Runtime::Original => self.better.is_none(),
        }
    }

    /// True when the server of this run cannot be shared with other cases.
    pub fn needs_own_server(&self, variant: Variant) -> bool {
        let spec = &self.server;
        let special = spec.own || spec.none || spec.entry.is_some();
        let changed = !(spec.args.is_empty() && spec.env.is_empty() && spec.files.is_empty());
        special
            || changed
            || matches!(variant, Variant::Restart | Variant::Kill)
            || any_step(&self.steps, &|action| {
                matches!(action, Action::Restart { .. } | Action::Change { .. })
            })
    }
}
