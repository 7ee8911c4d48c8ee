//! Memory that V8's heap limit does not see: whatever a room fills, it is the room that ends, not the process.
//!
//! The limits are small, so that harmless sizes go beyond them. Each kind runs in a room that shares its worker with another
//! one; the error must name the limit, and the memory of the process must stay far below what the room asked for.

use std::task::Poll;
use std::time::Duration;

use partyrun_limits::Limits;
use partyrun_net::{Body, BodyStream};

use crate::tests::{Bench, one_worker, run, start_with};

const MIB: usize = 1 << 20;

const ROOM: &str = "class {
  async onRequest(request) {
    const kind = new URL(request.url).searchParams.get('k');
    const all = [];
    const bytes = () => new Uint8Array(MIB);
    const port = new MessageChannel().port1;
    const blob = new Blob(['0123456789']);
    const typed = new Blob(['a'], { type: 'x'.repeat(100_000) });
    const pause = () => new Promise((go) => setTimeout(go, 10));
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
      'growing shared buffers': () => { const one = new SharedArrayBuffer(1, { maxByteLength: MIB }); one.grow(MIB); return one; },
      'shared buffers that may grow': () => new SharedArrayBuffer(MIB, { maxByteLength: 2 * MIB }),
      'urls with long types': () => void URL.createObjectURL(typed),
      'brotli of Node': async () => {
        const { createBrotliCompress, constants } = host.builtin('node:zlib');
        const stream = createBrotliCompress({ params: { [constants.BROTLI_PARAM_LGWIN]: 24 } });
        await new Promise((written) => stream.write(crypto.getRandomValues(new Uint8Array(65536)), written));
        return stream;
      },
      'tokens that do not end': async () => {
        let feed;
        const body = new ReadableStream({ start(controller) { feed = controller; } });
        const rewriter = new HTMLRewriter().on('p', { element() {} });
        const reader = rewriter.transform(new Response(body)).body.getReader();
        reader.read();
        feed.enqueue(new TextEncoder().encode('<p title='));
        for (let i = 0; i < 12; i++) feed.enqueue(bytes().fill(120));
        await pause();
        return [feed, reader];
      },
      'growing buffers': () => { const one = new ArrayBuffer(1, { maxByteLength: MIB }); one.resize(MIB); return one; },
    }[kind];
    if (grow === undefined) return new Response('fine');
    const dropped = Number(new URL(request.url).searchParams.get('dropped'));
    for (let i = 0; i < dropped; i++) await grow();
    if (dropped > 0) return new Response('fine');
    for (let i = 0; i < 2e6; i++) all.push(await grow());
    return new Response(`${all.length} were made`);
  }
}";

// Answers the memory of the process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

async fn start_small(heap_bytes_max: usize) -> Bench {
    // A module whose memory of 64 pages no JavaScript sees.
    let module = "new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 5, 4, 1, 0, 192, 0])";
    let code = format!(
        "'use strict'; (host) => {{ const MIB = 1 << 20, MODULE = {module};
         return {{ main: {{ default: {ROOM} }}, parties: {{}} }}; }}"
    );
    let limits = Limits {
        heap_bytes_max,
        external_bytes_max: 32 * MIB,
        turn_cpu_max: Duration::from_secs(60),
        ..Limits::default()
    };
    start_with(&code, one_worker(limits)).await.unwrap()
}

// What is garbage counts until it is collected, which must come before its room is ended. Not among these kinds are those
// that stay reachable when nobody has them: what waits in a port, object URLs, and shared buffers that grow.
#[test]
fn garbage_outside_of_the_heap_ends_nobody() {
    run(async {
        // V8 comes near a small limit of the heap itself where other programs keep its helper threads from running.
        let bench = start_small(256 * MIB).await;
        // How many together are ten times the limit.
        let kinds = [
            ("blobs", 110),
            ("slices", 700_000),
            ("gzip", 1100),
            ("gunzip", 6000),
            ("brotli", 50),
            ("clones", 350),
            ("forms", 350),
            ("bodies", 350),
            ("wasm", 90),
            ("grown wasm", 90),
            ("shared wasm", 90),
            ("wasm modules", 90),
            ("shared buffers", 350),
            ("growing buffers", 350),
            ("brotli of Node", 40),
        ];
        let mut wrong = Vec::new();
        for (kind, count) in kinds {
            let path = format!("?k={}&dropped={count}", kind.replace(' ', "%20"));
            let (status, text) = bench.path("a", &path).await;
            if (status, text.as_str()) != (200, "fine") {
                wrong.push(format!("{kind}: {status} {text}"));
            }
        }
        assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), bench.printed());
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn memory_outside_of_the_heap_ends_its_room_and_nothing_else() {
    run(async {
        let bench = start_small(64 * MIB).await;
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
            "growing shared buffers",
            "shared buffers that may grow",
            "urls with long types",
            "brotli of Node",
            "tokens that do not end",
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

// What a room's clients have not read of streamed answers counts for all of them together.
#[test]
fn streamed_answers_that_nobody_reads_wait() {
    run(async {
        const PIECE: usize = 64 << 10;
        const ANSWERS: usize = 20;
        let code = "'use strict'; (host) => { let made = 0; return { main: { default: class {
              onRequest(request) {
                if (new URL(request.url).searchParams.has('made')) return new Response(`${made}`);
                let left = 40;
                return new Response(new ReadableStream({ pull(controller) {
                  if (left-- === 0) return controller.close();
                  made++;
                  controller.enqueue(new Uint8Array(65536));
                } }, { highWaterMark: 0 }));
              } } }, parties: {} }; }";
        let limits = Limits { answers_bytes_max: 8 * PIECE, ..Limits::default() };
        let bench = start_with(code, one_worker(limits)).await.unwrap();
        let mut answers = Vec::new();
        for _ in 0..ANSWERS {
            answers.push(bench.response("a").await);
        }
        let (mut seen, mut same) = (String::new(), 0);
        while same < 50 {
            let (_, made) = bench.path("a", "?made").await;
            same = if made == seen { same + 1 } else { 0 };
            seen = made;
            tokio::time::sleep(Duration::from_millis(2)).await; // Sleeps: no more pieces come, which nothing announces.
        }
        // Beside what the limit allows, each answer has one piece that waits for its client, one that waits for the limit, and
        // two on their way out of the isolate. Without the limit four would wait for each client.
        let made: usize = seen.parse().unwrap();
        assert!((ANSWERS..=8 + 4 * ANSWERS).contains(&made), "{made} pieces were made");
        for answer in answers {
            assert_eq!(crate::tests::read(answer).await.1.len(), 40 * PIECE);
        }
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}

#[test]
fn request_bodies_that_a_room_does_not_read_are_bounded() {
    run(async {
        let code = "'use strict'; (host) => ({ main: { default: class {
              async onRequest(request) {
                if (request.method === 'GET') return new Response('fine');
                return new Response(await request.text());
              } } }, parties: {} })";
        let limits = Limits { header_bytes_max: 1000, bodies_bytes_max: 15_000, ..Limits::default() };
        let bench = start_with(code, one_worker(limits)).await.unwrap();
        let (mut writers, mut asked) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (writer, stream) = BodyStream::channel(4, None);
            writers.push(writer);
            asked.push(Box::pin(bench.send("a", Body::Stream(stream))));
        }
        // Each of them is on its way before the fourth is.
        for asking in &mut asked {
            let polled = std::future::poll_fn(|context| Poll::Ready(asking.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        }
        let (_writer, stream) = BodyStream::channel(4, None);
        let (status, text) = crate::tests::read(bench.send("a", Body::Stream(stream)).await).await;
        let expected = "The room has too many requests whose bodies wait for it (limit `bodies_bytes_max`: ";
        assert!(status == 503 && text.starts_with(expected), "{status} {text}");
        assert_eq!(bench.get("a").await, (200, "fine".into()));
        for (writer, asking) in writers.into_iter().zip(asked) {
            writer.write("whole".into()).await.unwrap();
            writer.finish().await.unwrap();
            assert_eq!(crate::tests::read(asking.await).await, (200, "whole".into()));
        }
        bench.engine.stop(Duration::from_secs(2)).await;
    });
}
