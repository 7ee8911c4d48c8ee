//! The boundary between JavaScript and Rust: every op that partyrun adds to the web platform, and the scripts of `js/`.
//!
//! The [`extension!`](deno_core::extension) below is the table of contents. Its ops call the [`Host`], which the engine
//! implements; `partyrun_snapshot` builds the startup snapshot from [`all`]. Invariant: no op keeps a V8 handle across an
//! await, because deno_core polls and drops pending ops outside the engine's guard (design, section 3).

mod answer;
mod assets;
mod bindings;
mod body;
mod bundle;
mod cache;
mod clock;
mod codes;
mod connections;
mod console;
mod crypto;
mod edge;
mod host;
mod html;
mod lanes;
mod memory;
mod node;
mod outbound;
mod parties;
mod reply;
mod responses;
mod room;
mod sockets;
mod storage;
pub mod tls;
mod traces;
mod url;
mod values;
pub mod wire;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use deno_core::Extension;

pub use assets::Assets;
pub use bindings::{BindingCall, BindingReply, Bindings};
pub use body::{Body, BodyResource, BodyStream, add_stream};
pub use bundle::Bundle;
pub use connections::Connections;
pub use console::Console;
pub use edge::{Edge, Forwarded};
pub use host::{Host, HostRef, LocalFuture, RoomNumber};
pub use memory::RoomMemory;
pub use outbound::{Outbound, Refused, judge, note_own_ports, prepare, reach, restrict};
pub use parties::{Parties, PartyRequest};
pub use reply::Reply;
pub use responses::Responses;
pub use room::Room;
pub use sockets::Sockets;
pub use storage::{ListOptions, Storage};
pub use traces::Traces;

use answer::op_answer_bound;
use assets::*;
use bindings::*;
use bundle::*;
use codes::op_request_coded;
use connections::*;
use console::*;
use crypto::op_aes_gcm;
use edge::*;
use lanes::{op_lane_call, op_lane_enter};
use memory::{op_memory_hold, op_memory_release};
use parties::*;
use responses::*;
use room::*;
use sockets::*;
use storage::*;
use traces::*;
use values::{op_value_clone, op_value_deserialize, op_value_serialize};

deno_core::extension!(
    partyrun,
    deps = [deno_webidl, deno_web, deno_crypto, deno_fetch],
    ops = [
        op_console_write,
        op_trace_begin,
        op_trace_end,
        op_trace_console,
        op_room_hold,
        op_room_reset,
        op_room_hibernates,
        op_room_started,
        op_room_alarm_done,
        op_socket_send_text,
        op_socket_send_binary,
        op_socket_close,
        op_socket_connect,
        op_socket_forget,
        op_socket_buffered,
        op_connection_accept,
        op_connection_list,
        op_connection_attach,
        op_connection_tags,
        op_broadcast_skip,
        op_broadcast_text,
        op_broadcast_binary,
        op_response_static,
        op_response_bytes,
        op_response_reason,
        op_response_reject,
        op_response_stream,
        op_storage_get,
        op_storage_get_many,
        op_storage_list,
        op_storage_check_count,
        op_storage_put,
        op_storage_put_many,
        op_storage_delete,
        op_storage_delete_many,
        op_storage_delete_all,
        op_storage_begin,
        op_storage_commit,
        op_storage_rollback,
        op_storage_get_alarm,
        op_storage_set_alarm,
        op_storage_delete_alarm,
        op_storage_pending,
        op_storage_presses,
        op_storage_sync,
        op_party_url,
        op_party_fetch,
        op_assets_fetch,
        op_answer_bound,
        op_request_coded,
        op_aes_gcm,
        op_lane_call,
        op_lane_enter,
        op_binding_call,
        op_edge_forward,
        op_edge_pass,
        op_edge_wait,
        op_edge_accept,
        op_edge_relay,
        op_edge_refuse,
        op_edge_open,
        op_bundle_wasm,
        op_bundle_binary,
        op_memory_hold,
        op_memory_release,
        op_value_clone,
        op_value_deserialize,
        op_value_serialize,
    ],
    lazy_loaded_js = [
        dir "../../js",
        "00_kinds.js",
        "02_traces.js",
        "03_bytes.js",
        "04_rooms.js",
        "06_captured.js",
        "08_counted.js",
        "09_shared_buffers.js",
        "10_console.js",
        "15_process.js",
        "17_failures.js",
        "18_limits.js",
        "20_timers.js",
        "25_hot.js",
        "26_held.js",
        "27_values.js",
        "28_bodies.js",
        "29_output_gate.js",
        "30_http.js",
        "31_responses.js",
        "32_fetch.js",
        "34_sockets.js",
        "35_socket_client.js",
        "36_socket.js",
        "37_pair.js",
        "40_connections.js",
        "45_input_gate.js",
        "50_storage.js",
        "52_transaction.js",
        "54_bindings.js",
        "55_kv.js",
        "56_r2.js",
        "57_vectorize.js",
        "58_resources.js",
        "60_parties.js",
        "61_assets.js",
        "65_cf.js",
        "70_room.js",
        "80_edge.js",
        "88_bundle.js",
        "99_fast.js",
        "compression.js",
        "crypto.js",
        "crypto_algorithms.js",
        "crypto_keys.js",
        "crypto_old.js",
        "crypto_subtle.js",
        "html_rewriter.js",
        "inspected.js",
        "lanes.js",
        "moved_clock.js",
        "urlpattern.js",
        "workers.js",
        "node/absent.js",
        "node/bounds.js",
        "node/buffers.js",
        "node/constants.js",
        "node/fs.js",
        "node/http.js",
        "node/loader.js",
        "node/names.generated.js",
        "node/net.js",
        "node/old_checks.js",
        "node/ops.js",
        "node/os.js",
        "node/platform.js",
        "node/primes.js",
        "node/process.js",
        "node/timers.js",
        "node/tls.js",
        "node/zlib_binding.js",
    ],
    js = [
        dir "../../js",
        "00_web.js",
        "05_errors.js",
        "12_scope.js",
        "90_dispatch.js",
    ],
);

// deno_fetch's Request module loads deno_net for TLS client certificates, which partyrun does not offer.
deno_core::extension!(deno_net, lazy_loaded_js = [dir "../../js", "02_tls.js"]);

/// All extensions, in the order in which both the snapshot and every isolate need them.
pub fn all() -> Vec<Extension> {
    vec![
        deno_webidl::deno_webidl::init(),
        web(),
        deno_crypto::deno_crypto::init(None),
        deno_net::init(),
        deno_fetch::deno_fetch::init(deno_fetch::Options {
            user_agent: concat!("partyrun/", env!("CARGO_PKG_VERSION")).to_string(),
            root_cert_store_provider: Some(Arc::new(tls::Roots)),
            resolver: deno_fetch::dns::Resolver::custom(Arc::new(outbound::Names)),
            ..Default::default()
        }),
        own(),
    ]
}

/// The names of the ops that need a [`Host`].
pub fn own_op_names() -> Vec<&'static str> {
    let without_host = |name: &&str| name.starts_with("op_value_");
    partyrun::init().ops.iter().map(|op| op.name).filter(|name| !without_host(name)).collect()
}

fn own() -> Extension {
    let mut own = partyrun::init();
    own.ops.to_mut().push(node::declaration());
    own.lazy_loaded_js_files.to_mut().push(wire::script());
    own
}

// Nothing listens to it, as Workers have no BroadcastChannel: one for all isolates, since each takes 16 KiB.
static CHANNEL: LazyLock<deno_web::InMemoryBroadcastChannel> = LazyLock::new(Default::default);

// Each op costs every isolate some memory, so the parts of deno_web that Workers do not have are left out.
const UNUSED_OPS: [&str; 4] =
    ["op_geometry_", "op_lock_manager_", "op_broadcast_", "op_message_port_recv_message_sync"];
const UNUSED_OBJECTS: [&str; 3] = ["::css_stylesheet::", "::geometry::", "::image_data::"];

fn web() -> Extension {
    let mut web =
        deno_web::deno_web::init(Arc::new(deno_web::BlobStore::default()), None, false, CHANNEL.clone());
    let is_left_out = |name: &str| {
        UNUSED_OPS.iter().any(|unused| name.starts_with(unused))
            || url::REPLACED.contains(&name)
            || memory::REPLACED.contains(&name)
    };
    web.ops.to_mut().retain(|op| !is_left_out(op.name));
    web.ops.to_mut().extend(url::ops());
    web.ops.to_mut().extend(memory::ops());
    web.objects
        .to_mut()
        .retain(|object| !UNUSED_OBJECTS.iter().any(|unused| (object.type_name)().contains(unused)));
    web
}

/// The same extensions for an isolate that starts from the snapshot: the ops, without any script.
pub fn without_scripts() -> Vec<Extension> {
    let mut extensions = all();
    for extension in &mut extensions {
        extension.js_files = Cow::Borrowed(&[]);
        extension.esm_files = Cow::Borrowed(&[]);
        extension.lazy_loaded_js_files = Cow::Borrowed(&[]);
        extension.lazy_loaded_esm_files = Cow::Borrowed(&[]);
    }
    extensions
}
