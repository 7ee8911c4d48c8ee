//! Native work beside the workers' threads: few threads, few calls of a room, and none that begins after its room has gone.

use std::time::Instant;

use crate::support::{PATIENCE, Project, Server};

// A room that begins hundreds of derivations of a second or so, and one that signs.
const ROOMS: &str = "
const text = new TextEncoder().encode('text');
const parameters = { name: 'PBKDF2', hash: 'SHA-512', salt: text, iterations: 1_500_000 };
export default class Server {
  async onRequest(request) {
    const { subtle } = crypto;
    const url = new URL(request.url);
    if (url.searchParams.has('derive')) {
      const key = await subtle.importKey('raw', text, 'PBKDF2', false, ['deriveBits']);
      for (let i = 0; i < 400; i++) subtle.deriveBits(parameters, key, 512).catch(() => {});
      return new Response('begun');
    }
    if (url.searchParams.has('end')) {
      const kept = [];
      for (;;) kept.push(new Array(100_000).fill(Math.random()));
    }
    const key = await subtle.importKey('raw', text, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    return new Response(String((await subtle.sign('HMAC', key, text)).byteLength));
  }
}
";

/// The states of the threads of this name, as the kernel has them: R runs, S waits.
fn threads(process: i32, name: &str) -> Vec<char> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let state = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (known, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        if known == name { rest.chars().next() } else { None }
    };
    tasks.filter_map(|task| state(task.ok()?)).collect()
}

fn wait_until(server: &Server, what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}:\n{}", server.output());
        std::thread::yield_now();
    }
}

#[test]
fn native_work_of_a_room_leaves_cores_to_others_and_ends_with_it() {
    let project = Project::new(&[("server.js", ROOMS)]);
    let server =
        project.serve(&["dev", "server.js", "--persist", "false", "--limit", "heap_bytes_max=33554432"]);
    let process = server.served_by();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(server.get("/party/deriver?derive").1, "begun");
    wait_until(&server, "the slow lane does not run", || threads(process, "slow-lane").contains(&'R'));
    for room in 0..20 {
        assert_eq!(server.get(&format!("/party/signer-{room}")).1, "32");
        let running = threads(process, "slow-lane").len();
        assert!(running <= (cores - 1).max(1), "{running} threads for slow calls on {cores} cores");
    }
    // The room uses up its heap, so that it is reset; hundreds of its calls have not begun.
    let (status, _) = server.get("/party/deriver?end");
    assert_ne!(status, 200);
    let is_quiet = || (0..50).all(|_| !threads(process, "slow-lane").contains(&'R'));
    wait_until(&server, "the slow lane goes on", is_quiet);
}
