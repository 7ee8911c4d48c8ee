//! The table of configuration fields: the one place where a field is defined.
//!
//! Validation, the JSON schema and the documentation read [`FIELDS`]; the typed mirror in `file.rs` is checked
//! against it by a test. A field that is not here is unknown to partyrun. Types and meanings: spec 4.3.
//! Fields that only the hosted platform reads stay in the table, so that a project's file needs no change;
//! they are type-checked, then named once in the notes.

/// What a field's value may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any JSON value.
    Any,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// Any number.
    Number,
    /// A whole number from 0 to 65535.
    Port,
    /// A number of seconds, not negative.
    Seconds,
    /// A whole number from the first to the second.
    Whole(u32, u32),
    /// Any string.
    Text,
    /// A string of lower-case letters, digits, `-` and `_`.
    Slug,
    /// A cron expression of five fields.
    Cron,
    /// The origin of a web page, or `same-host`.
    Origin,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// An array whose elements are all of this kind.
    List(&'static Kind),
    /// An object with free keys whose values are all of this kind.
    Map(&'static Kind),
    /// An object with party names as keys and strings as values.
    Parties,
    /// An object with these fields.
    Object(&'static Object),
    /// A value of any of these kinds; no two of them share a JSON type.
    Either(&'static [Kind]),
}

/// The fields of an object.
#[derive(Debug)]
pub struct Object {
    /// The known fields.
    pub fields: &'static [Field],
    /// Whether an unknown key is an error (as in the original) or only a warning.
    pub strict: bool,
}

/// Who reads a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// partyrun.
    Partyrun,
    /// Only the hosted platform: accepted, and named once in the notes.
    Hosting,
}

/// One field of the configuration.
#[derive(Debug)]
pub struct Field {
    /// The key in the file.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Who reads it.
    pub reader: Reader,
    /// Whether an object without it is wrong.
    pub required: bool,
    /// The default as JSON text, if there is a fixed one.
    pub default: Option<&'static str>,
    /// A right value as JSON text, shown when a wrong one was given.
    pub example: &'static str,
    /// What it does, for the schema and the documentation.
    pub doc: &'static str,
}

const fn field(name: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Field {
    Field { name, kind, reader: Reader::Partyrun, required: false, default: None, example, doc }
}

impl Field {
    const fn hosting(mut self) -> Self {
        self.reader = Reader::Hosting;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn default(mut self, json: &'static str) -> Self {
        self.default = Some(json);
        self
    }
}

/// The loaders that a client build may name (spec 4.3).
pub const LOADERS: &[&str] = &[
    "base64",
    "binary",
    "copy",
    "css",
    "dataurl",
    "default",
    "empty",
    "file",
    "js",
    "json",
    "jsx",
    "local-css",
    "text",
    "ts",
    "tsx",
];

/// The module formats of a client build.
pub const FORMATS: &[&str] = &["esm", "cjs", "iife"];

const TEXT_OR_TEXTS: Kind = Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)]);
const ORIGIN_OR_ORIGINS: Kind = Kind::Either(&[Kind::Origin, Kind::List(&Kind::Origin)]);
const TEXT_MAP: Kind = Kind::Map(&Kind::Text);

/// The root of the table.
pub static ROOT: Object = Object { fields: FIELDS, strict: true };

/// Every field of a configuration file, in the order of the documentation.
pub static FIELDS: &[Field] = &[
    field("$schema", Kind::Text, r#""./schema.json""#, "The schema that an editor uses for this file."),
    field("name", Kind::Slug, r#""my-party""#, "The project's name."),
    field("main", Kind::Text, r#""src/server.ts""#, "The main party's module, relative to this file."),
    field(
        "port",
        Kind::Port,
        "1999",
        "The port to listen on; the default is 1999, or a free port if 1999 is taken.",
    ),
    field(
        "parties",
        Kind::Parties,
        r#"{ "chat": "src/chat.ts" }"#,
        "Further parties: a name, and its module relative to this file.",
    ),
    field(
        "serve",
        Kind::Either(&[Kind::Text, Kind::Object(&SERVE)]),
        r#""public""#,
        "Static files: a folder, or an object that also says how to build and serve it.",
    ),
    field(
        "persist",
        Kind::Either(&[Kind::Bool, Kind::Text]),
        "true",
        "Whether storage outlives the process, or the folder it is kept in (relative to this file).",
    )
    .default("true"),
    field("vars", Kind::Map(&Kind::Any), r#"{ "KEY": "value" }"#, "Values of `room.env` and `lobby.env`."),
    field(
        "define",
        TEXT_MAP,
        r#"{ "DEBUG": "true" }"#,
        "Names that the build replaces in server and client code; each value is a JavaScript expression.",
    ),
    field("build", Kind::Object(&BUILD), r#"{ "command": "npm run build" }"#, "The project's own build."),
    field("minify", Kind::Bool, "true", "Whether the server bundle is minified.").default("false"),
    field(
        "isolation",
        Kind::OneOf(&["room", "worker"]),
        r#""worker""#,
        "Whose a V8 isolate is: each room's own, or one of all rooms of a worker (see docs/isolation.md).",
    )
    .default(r#""room""#),
    field(
        "compression",
        Kind::Either(&[Kind::Bool, Kind::Object(&COMPRESSION)]),
        r#"{ "level": 6 }"#,
        "Whether messages and responses are compressed for clients that ask for it (see docs/encoding.md), or how.",
    )
    .default("true"),
    field(
        "allowedOrigins",
        ORIGIN_OR_ORIGINS,
        r#"["https://example.com", "https://*.example.com", "same-host"]"#,
        "The web pages that may open WebSockets: origins, `https://*.` with a domain, or `same-host` for this server's own.",
    ),
    field(
        "cors",
        Kind::Either(&[Kind::Bool, Kind::Object(&CORS)]),
        "true",
        "Whether web pages of other origins may read what rooms and `onFetch` answer: `true`, or an object.",
    ),
    field(
        "compatibilityDate",
        Kind::Text,
        r#""2024-07-18""#,
        "A Workers compatibility date; accepted, and without effect.",
    ),
    field(
        "compatibilityFlags",
        Kind::List(&Kind::Text),
        r#"["nodejs_compat"]"#,
        "Workers compatibility flags; accepted, and without effect.",
    ),
    field(
        "crons",
        Kind::Map(&Kind::Cron),
        r#"{ "hourly": "0 * * * *" }"#,
        "Schedules that call `onCron`: a name, and a cron expression of five fields in UTC.",
    ),
    field(
        "ai",
        Kind::Either(&[Kind::Bool, Kind::Object(&AI)]),
        r#"{ "apiGateway": "https://example.com", "apiToken": "token" }"#,
        "The endpoint behind `room.context.ai`.",
    ),
    field(
        "vectorize",
        Kind::Map(&Kind::Either(&[Kind::Text, Kind::Object(&VECTOR_INDEX)])),
        r#"{ "docs": "index-name" }"#,
        "Vector indexes of `room.context.vectorize`: a name, and the index.",
    ),
    field(
        "bindings",
        Kind::Object(&BINDINGS),
        r#"{ "kv": { "cache": "id" } }"#,
        "Local KV namespaces and buckets.",
    ),
    field("team", Kind::Text, r#""my-team""#, "The team that owns the project.").hosting(),
    field("preview", Kind::Text, r#""next""#, "The name of a preview deployment.").hosting(),
    field("domain", Kind::Text, r#""party.example.com""#, "The domain of the deployment.").hosting(),
    field("logpush", Kind::Bool, "false", "Whether logs are pushed.").hosting(),
    field("tailConsumers", Kind::List(&Kind::Text), r#"["logger"]"#, "Workers that receive the logs.")
        .hosting(),
    field("analytics", Kind::Text, r#""dataset""#, "The analytics dataset.").hosting(),
    field("placement", Kind::Object(&PLACEMENT), r#"{ "mode": "smart" }"#, "Where the code runs.").hosting(),
    field("observability", Kind::Object(&OBSERVABILITY), r#"{ "enabled": true }"#, "Log collection.")
        .hosting(),
];

static SERVE: Object = Object {
    strict: false,
    fields: &[
        field("path", Kind::Text, r#""public""#, "The folder that is served."),
        field(
            "build",
            Kind::Either(&[Kind::Text, Kind::Object(&CLIENT_BUILD)]),
            r#""src/client.tsx""#,
            "The client code to bundle: an entry, or an object.",
        ),
        field(
            "include",
            Kind::List(&Kind::Text),
            r#"["**/*.html"]"#,
            "Globs of the files to serve; other files are not served.",
        ),
        field("exclude", Kind::List(&Kind::Text), r#"["**/*.map"]"#, "Globs of the files not to serve."),
        field(
            "browserTTL",
            Kind::Either(&[Kind::Seconds, Kind::Null]),
            "3600",
            "How many seconds a browser may keep a file without asking again; null sends no lifetime.",
        ),
        field(
            "edgeTTL",
            Kind::Either(&[Kind::Seconds, Kind::Null]),
            "3600",
            "How many seconds the hosted platform's edge keeps a file.",
        )
        .hosting(),
        field(
            "singlePageApp",
            Kind::Bool,
            "true",
            "Whether a browser's navigation to an unknown path gets `index.html`.",
        )
        .default("false"),
    ],
};

static CORS: Object = Object {
    strict: true,
    fields: &[
        field(
            "origins",
            ORIGIN_OR_ORIGINS,
            r#""https://example.com""#,
            "The origins that may read answers; the default is `allowedOrigins`, else every origin.",
        ),
        field(
            "methods",
            Kind::List(&Kind::Text),
            r#"["GET", "POST"]"#,
            "The methods that preflights allow; the default is GET, HEAD, PUT, POST, DELETE and PATCH.",
        ),
        field(
            "headers",
            Kind::List(&Kind::Text),
            r#"["Content-Type", "Authorization"]"#,
            "The request headers that preflights allow; the default is all that are asked for.",
        ),
        field(
            "exposeHeaders",
            Kind::List(&Kind::Text),
            r#"["X-Total"]"#,
            "The response headers that pages may read besides the common ones.",
        ),
        field(
            "credentials",
            Kind::Bool,
            "true",
            "Whether pages may send cookies and the like; the origins must be named then.",
        )
        .default("false"),
        field("maxAge", Kind::Seconds, "600", "How many seconds a browser may remember a preflight."),
    ],
};

static CLIENT_BUILD: Object = Object {
    strict: false,
    fields: &[
        field("entry", TEXT_OR_TEXTS, r#""src/client.tsx""#, "The entry, or entries, of the client code."),
        field("bundle", Kind::Bool, "true", "Whether imports are bundled.").default("true"),
        field("splitting", Kind::Bool, "true", "Whether shared code becomes chunks.").default("true"),
        field("external", Kind::List(&Kind::Text), r#"["react"]"#, "Modules that are not bundled."),
        field(
            "outdir",
            Kind::Text,
            r#""public/dist""#,
            "The output folder; `dist` in the served folder if absent.",
        ),
        field("minify", Kind::Bool, "true", "Whether the output is minified."),
        field("alias", TEXT_MAP, r#"{ "react": "preact/compat" }"#, "Modules that replace others."),
        field("format", Kind::OneOf(FORMATS), r#""esm""#, "The module format of the output.")
            .default(r#""esm""#),
        field("live", Kind::Bool, "true", "Whether pages reload after a build.").default("false"),
        field("sourcemap", Kind::Bool, "true", "Whether source maps are written.").default("true"),
        field(
            "define",
            TEXT_MAP,
            r#"{ "DEBUG": "true" }"#,
            "Names that the build replaces in client code only; each value is a JavaScript expression.",
        ),
        field(
            "loader",
            Kind::Map(&Kind::OneOf(LOADERS)),
            r#"{ ".svg": "file" }"#,
            "How files are loaded, by extension.",
        ),
    ],
};

static BUILD: Object = Object {
    strict: true,
    fields: &[
        field(
            "command",
            Kind::Text,
            r#""npm run build""#,
            "A shell command that runs before the start and after changes.",
        ),
        field("cwd", Kind::Text, r#"".""#, "The folder the command runs in."),
        field("watch", TEXT_OR_TEXTS, r#""src""#, "The files or folders that are watched for changes.")
            .default(r#""./src""#),
        field("alias", TEXT_MAP, r#"{ "a": "./b.ts" }"#, "Modules that replace others in the server bundle."),
    ],
};

static COMPRESSION: Object = Object {
    strict: true,
    fields: &[
        field(
            "minBytes",
            Kind::Whole(0, u32::MAX),
            "1024",
            "The length from which a message is compressed; by default the limit `message_compressed_bytes_min`.",
        ),
        field(
            "level",
            Kind::Whole(1, 9),
            "6",
            "How small messages and gzip become, from 1 (fast) to 9 (small).",
        )
        .default("3"),
        field(
            "contextTakeover",
            Kind::Bool,
            "true",
            "Whether a message may refer to earlier ones of its socket: smaller, for up to 64 KiB of memory a socket.",
        )
        .default("false"),
    ],
};

static AI: Object = Object {
    strict: false,
    fields: &[
        field("apiGateway", Kind::Text, r#""https://example.com""#, "The gateway's address."),
        field("apiToken", Kind::Text, r#""token""#, "The gateway's token."),
        field("apiAccount", Kind::Text, r#""account""#, "The account."),
    ],
};

static VECTOR_INDEX: Object = Object {
    strict: false,
    fields: &[field("index_name", Kind::Text, r#""docs""#, "The index's name.").required()],
};

static BINDINGS: Object = Object {
    strict: false,
    fields: &[
        field("r2", TEXT_MAP, r#"{ "files": "bucket" }"#, "Object stores: a name, and the bucket."),
        field("kv", TEXT_MAP, r#"{ "cache": "id" }"#, "Key-value stores: a name, and the namespace."),
    ],
};

static PLACEMENT: Object = Object {
    strict: false,
    fields: &[field("mode", Kind::OneOf(&["smart"]), r#""smart""#, "The placement mode.")
        .required()
        .hosting()],
};

static OBSERVABILITY: Object = Object {
    strict: false,
    fields: &[
        field("enabled", Kind::Bool, "true", "Whether logs are collected.").hosting(),
        field("head_sampling_rate", Kind::Number, "1", "The share of requests that are sampled.").hosting(),
    ],
};

/// What to do instead of a key that people try because of another tool or an older version.
pub(crate) fn former(path: &str, key: &str) -> Option<&'static str> {
    match (path, key) {
        ("", "assets") => Some("it is called `serve`"),
        ("", "https" | "tls") => Some("TLS is a matter of the command line: `--https`"),
        ("", "env") => Some("variables belong in `vars`, or in a `.env` file"),
        ("", "host") => Some("the address is a matter of the command line: `--host`"),
        ("", "inspector" | "logs") => Some("remove it: there is no such setting"),
        ("" | "cors", "allowedOrigin" | "origin" | "allowOrigins" | "allowOrigin") => {
            Some(if path.is_empty() { "it is called `allowedOrigins`" } else { "it is called `origins`" })
        }
        ("cors", "allowMethods" | "allowedMethods") => Some("it is called `methods`"),
        ("cors", "allowHeaders" | "allowedHeaders") => Some("it is called `headers`"),
        ("serve", "fallback") => Some("for a single-page app write `\"singlePageApp\": true`"),
        ("serve", "minify") => Some("it belongs in `serve.build`"),
        ("serve", "port") => Some("it belongs at the top level"),
        _ => None,
    }
}
