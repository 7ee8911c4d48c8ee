//! Memory that V8's heap limit does not see: whatever a room fills, it is the room that ends, not the process.
//!
//! The limits are small, so that harmless sizes go beyond them. Each kind runs in a room that shares its worker with another
//! one; the error must name the limit, and the memory of the process must stay far below what the room asked for.

use std::time::Duration;

use partyrun_limits::Limits;

use crate::tests::{one_worker, run, start_with};

const MIB: usize = 1 << 20;

const ROOM: &str = "class {
  onRequest(request) {
    const kind = new URL(request.url).searchParams.get('k');
    const all = [];
    const bytes = () => new Uint8Array(MIB);
    const port = new MessageChannel().port1;
    const blob = new Blob(['0123456789']);
    const grow = {
      blobs: () => new Blob([bytes(), bytes(), bytes()]),
      slices: () => blob.slice(1, 3),
      urls: () => void URL.createObjectURL(blob),
      ports: () => void port.postMessage(bytes()),
      transfers: () => { const one = bytes(); port.postMessage(one, [one.buffer]); },
      'small messages': () => void port.postMessage(1),
      gzip: () => new CompressionStream('gzip'),
      gunzip: () => new DecompressionStream('gzip'),
      brotli: () => new CompressionStream('brotli'),
      clones: () => structuredClone(bytes()),
      forms: () => { const form = new FormData(); form.append('a', new Blob([bytes()])); return form; },
      bodies: () => new Response(bytes()),
      wasm: () => new WebAssembly.Memory({ initial: 64 }),
      'grown wasm': () => { const memory = new WebAssembly.Memory({ initial: 1 }); memory.grow(64); return memory; },
      'shared wasm': () => new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true }),
      'wasm modules': () => new WebAssembly.Instance(new WebAssembly.Module(MODULE)),
      'shared buffers': () => new SharedArrayBuffer(MIB),
      'growing buffers': () => { const one = new ArrayBuffer(1, { maxByteLength: MIB }); one.resize(MIB); return one; },
    }[kind];
    if (grow === undefined) return new Response('fine');
    for (let i = 0; i < 2e6; i++) all.push(grow());
    return new Response(`${all.length} were made`);
  }
}";

// Answers the memory of the process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn memory_outside_of_the_heap_ends_its_room_and_nothing_else() {
    run(async {
        // A module whose memory of 64 pages no JavaScript sees.
        let module = "new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 5, 4, 1, 0, 192, 0])";
        let code = format!(
            "'use strict'; (host) => {{ const MIB = 1 << 20, MODULE = {module};
             return {{ main: {{ default: {ROOM} }}, parties: {{}} }}; }}"
        );
        let limits = Limits {
            heap_bytes_max: 64 * MIB,
            external_bytes_max: 32 * MIB,
            turn_cpu_max: Duration::from_secs(60),
            ..Limits::default()
        };
        let bench = start_with(&code, one_worker(limits)).await.unwrap();
        let kinds = [
            "blobs",
            "slices",
            "urls",
            "ports",
            "transfers",
            "small messages",
            "gzip",
            "gunzip",
            "brotli",
            "clones",
            "forms",
            "bodies",
            "wasm",
            "grown wasm",
            "shared wasm",
            "wasm modules",
            "shared buffers",
            "growing buffers",
        ];
        assert_eq!(bench.path("b", "?k=ok").await.1, "fine");
        let mut wrong = Vec::new();
        for kind in kinds {
            let before = resident();
            let (status, text) = bench.path("a", &format!("?k={}", kind.replace(' ', "%20"))).await;
            let grown = resident().saturating_sub(before) / MIB;
            let named = ["external_bytes_max", "heap_bytes_max", "allocation failed", "could not allocate"];
            let said = named.iter().any(|name| text.contains(name));
            if status != 500 || !said || grown > 400 {
                wrong.push(format!("{kind}: {status} {text}, {grown} MiB more"));
            }
            assert_eq!(bench.path("b", "?k=ok").await, (200, "fine".into()), "after {kind}");
            assert_eq!(bench.path("a", "?k=ok").await, (200, "fine".into()), "after {kind}");
        }
        assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), bench.printed());
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn what_was_held_is_given_back() {
    run(async {
        let code = "'use strict'; (host) => ({ main: { default: class {
              async onRequest() {
                for (let round = 0; round < 30; round++) {
                  const blob = new Blob([new Uint8Array(4 << 20)]);
                  if ((await blob.arrayBuffer()).byteLength !== 4 << 20) throw new Error('it is not whole');
                  const { port1, port2 } = new MessageChannel();
                  const heard = new Promise((hear) => { port2.onmessage = ({ data }) => hear(data); });
                  port1.postMessage(new Uint8Array([1, 2, round]));
                  port1.postMessage(new Uint8Array(4 << 20));
                  if (String(await heard) !== `1,2,${round}`) throw new Error('it came otherwise');
                  port1.close();
                  const small = new Response('x'.repeat(1000)).body.pipeThrough(new CompressionStream('brotli'));
                  const back = await new Response(small.pipeThrough(new DecompressionStream('brotli'))).text();
                  if (back !== 'x'.repeat(1000)) throw new Error('it inflates to something else');
                  await new Promise((go) => setTimeout(go, 1));
                }
                return new Response('fine');
              } } }, parties: {} })";
        let limits = Limits { external_bytes_max: 48 * MIB, ..Limits::default() };
        let bench = start_with(code, one_worker(limits)).await.unwrap();
        assert_eq!(bench.path("a", "").await, (200, "fine".into()), "{}", bench.printed());
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}
