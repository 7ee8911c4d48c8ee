//! Measures the network half without V8: what a message, a broadcast delivery and a small GET cost in CPU time.
//!
//! `echo measure` starts a server process and loads it; `echo serve ADDRESS` only serves, `echo load ADDRESS PID`
//! loads any server that answers `/party/*/echo` with echoes, sends `all:X` as `X` to a room and answers GET. The
//! figures are per CPU-second of the server process. `echo serve-plain` reads with fastwebsockets, for comparison.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measuring tool may stop at the first surprise"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::cell::Cell;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use fastwebsockets::{OpCode, Role, after_handshake_split};
use partyrun_limits::Limits;
use partyrun_net::{Body, Front, FrontOptions, Handler, Request, Response, Transport, bind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};

/// How long each figure is measured, after a warm-up.
const MEASURE: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(500);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", address] => {
            let threads = std::env::var("FRONT_THREADS").map_or(1, |threads| threads.parse().unwrap());
            let options = FrontOptions { threads, ..FrontOptions::default() };
            let workers = std::env::var("WORKERS").map_or(4, |workers| workers.parse().unwrap());
            support::start(Limits::default(), options, workers, address).front.join();
        }
        ["serve-plain", address] => serve_plain(address),
        ["load", address, pid] => load(address.parse().unwrap(), pid.parse().unwrap()),
        ["measure"] => {
            for (mode, address) in [("serve", "127.0.0.1:18461"), ("serve-plain", "127.0.0.1:18462")] {
                let mut command = Command::new(std::env::current_exe().unwrap());
                let mut server = command.args([mode, address]).stdin(Stdio::null()).spawn().unwrap();
                println!("{mode}");
                load(address.parse().unwrap(), server.id());
                server.kill().unwrap();
                server.wait().unwrap();
            }
        }
        _ => println!("echo measure | serve ADDRESS | serve-plain ADDRESS | load ADDRESS PID"),
    }
}

/// CPU time that a process has used, in clock ticks of 10 ms.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn load(address: SocketAddr, pid: u32) {
    let runtime = || Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    for (name, window) in [("echo, 32 sockets, 1 in flight", 1), ("echo, 32 sockets, 16 in flight", 16)] {
        report(&runtime(), name, pid, |count| echo(address, window, count));
    }
    for members in [100, 1000] {
        report(&runtime(), &format!("broadcast to {members}"), pid, |count| {
            broadcast(address, members, count)
        });
    }
    report(&runtime(), "GET, 32 connections", pid, |count| get(address, count));
}

/// Runs a load until its figure is known.
fn report<F: Future<Output = ()> + 'static>(
    runtime: &tokio::runtime::LocalRuntime,
    name: &str,
    pid: u32,
    start: impl FnOnce(Rc<Cell<u64>>) -> F,
) {
    if std::env::var("ONLY").is_ok_and(|only| !name.starts_with(&only)) {
        return;
    }
    let count = Rc::new(Cell::new(0));
    let running = start(Rc::clone(&count));
    runtime.block_on(async {
        // Connecting is part of it, so the warm-up begins with the first answers.
        tokio::task::spawn_local(running);
        let patience = Instant::now();
        while count.get() == 0 {
            if patience.elapsed() > Duration::from_secs(10) {
                return println!("  {name:32} not offered");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(WARM_UP).await;
        let (count_before, cpu_before, began) = (count.get(), cpu(pid), Instant::now());
        tokio::time::sleep(MEASURE).await;
        let done = (count.get() - count_before) as f64;
        let (per_cpu, per_wall) = (done / (cpu(pid) - cpu_before), done / began.elapsed().as_secs_f64());
        println!("  {name:32} {per_cpu:9.0} per CPU-second {per_wall:9.0} per second");
    });
}

async fn open(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    head(&mut stream).await;
    stream
}

async fn head(stream: &mut TcpStream) -> usize {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    head.len()
}

fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

const TEXT: &str = "{\"type\":\"move\",\"x\":123,\"y\":456}";

async fn echo(address: SocketAddr, window: usize, count: Rc<Cell<u64>>) {
    for index in 0..32 {
        let mut stream = open(address, &format!("/party/r{}/echo", index % 8)).await;
        let count = Rc::clone(&count);
        tokio::task::spawn_local(async move {
            let frames = masked(TEXT).repeat(window);
            let (length, frame) = (TEXT.len() + 2, frames.len() / window);
            let mut buffer = vec![0; 1 << 16];
            let mut partial = 0;
            stream.write_all(&frames).await.unwrap();
            loop {
                let read = stream.read(&mut buffer).await.unwrap() + partial;
                let echoes = read / length;
                partial = read % length;
                count.set(count.get() + echoes as u64);
                stream.write_all(&frames[..frame * echoes]).await.unwrap();
            }
        });
    }
}

async fn broadcast(address: SocketAddr, members: usize, count: Rc<Cell<u64>>) {
    for index in 0..members {
        let mut stream = open(address, "/party/hall").await;
        let count = Rc::clone(&count);
        let frame = masked(&format!("all:{TEXT}"));
        tokio::task::spawn_local(async move {
            let length = TEXT.len() + 2;
            let mut buffer = vec![0; 1 << 14];
            let mut partial = 0;
            // The last one to join speaks, and again whenever it hears itself.
            let speaks = index + 1 == members;
            if speaks {
                stream.write_all(&frame).await.unwrap();
            }
            loop {
                let read = stream.read(&mut buffer).await.unwrap() + partial;
                partial = read % length;
                count.set(count.get() + (read / length) as u64);
                if speaks && read >= length {
                    stream.write_all(&frame).await.unwrap();
                }
            }
        });
    }
}

async fn get(address: SocketAddr, count: Rc<Cell<u64>>) {
    for index in 0..32 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let count = Rc::clone(&count);
        tokio::task::spawn_local(async move {
            let request =
                format!("GET /party/r{} HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\n\r\n", index % 8);
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut buffer = vec![0; 1 << 14];
            let length = head(&mut stream).await + stream.read(&mut buffer).await.unwrap();
            loop {
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut got = 0;
                while got < length {
                    got += stream.read(&mut buffer).await.unwrap();
                }
                count.set(count.get() + 1);
            }
        });
    }
}

/// Gives every socket to the one thread that reads with fastwebsockets.
struct Plain(tokio::sync::mpsc::UnboundedSender<Transport>);

impl Handler for Plain {
    async fn call(&self, mut request: Request) -> Response {
        let Some(upgrade) = request.upgrade.take() else {
            return Response::new(200, Body::Full("{\"room\":\"a\",\"users\":3}".into()));
        };
        let sender = self.0.clone();
        tokio::task::spawn_local(async move { sender.send(upgrade.transport().await.unwrap()) });
        Response::switching_protocols()
    }
}

fn serve_plain(address: &str) {
    let (sender, mut transports) = tokio::sync::mpsc::unbounded_channel();
    let options = FrontOptions { threads: 1, ..FrontOptions::default() };
    let listener = bind(address.parse().unwrap()).unwrap();
    let _front = Front::start(vec![listener], Plain(sender).into(), Limits::default(), options).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        while let Some(transport) = transports.recv().await {
            if let Transport::Tcp { stream, .. } = transport {
                tokio::task::spawn_local(plain(TcpStream::from_std(stream).unwrap()));
            }
        }
    });
}

/// Echoes with the same one write per read as ours.
async fn plain(stream: TcpStream) {
    let (reader, writer) = stream.into_split();
    let (mut reader, _unused) = after_handshake_split(reader, tokio::io::sink(), Role::Server);
    reader.set_max_message_size(1 << 20);
    let mut out = Vec::new();
    loop {
        let mut answer = |_| async { Ok::<(), std::io::Error>(()) };
        let mut reading = std::pin::pin!(reader.read_frame(&mut answer));
        let now = std::future::poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await;
        let frame = match now {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if !out.is_empty() {
                    writer.try_write(&out).unwrap();
                    out.clear();
                }
                reading.await
            }
        };
        match frame {
            Ok(frame) if frame.opcode == OpCode::Text => {
                out.extend_from_slice(&[0x81, u8::try_from(frame.payload.len()).unwrap_or(125)]);
                out.extend_from_slice(&frame.payload);
            }
            _ => return,
        }
    }
}
