//! Static files over HTTP/2 and TLS, with the load of `h2load` (Debian's nghttp2-client): partyrun beside nginx, which serve the
//! same folder with the same certificate.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::contender::{Contender, Places, Running};
use super::load::{Throughput, Times};
use super::usage;
use crate::project::Project;
use crate::server::free_port;

/// The file's length.
const BYTES: usize = 100 << 10;
/// Connections, and requests that are under way on each.
const CONNECTIONS: &str = "8";
const STREAMS: &str = "4";
/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(30);

/// Measures one server.
pub fn measure(who: Contender, places: &Places, times: Times) -> io::Result<Throughput> {
    let project = Project::copy(&places.fixtures.join("bench"), &places.tests)?;
    let folder = project.path().to_path_buf();
    std::fs::create_dir_all(folder.join("public"))?;
    std::fs::write(folder.join("public/asset.bin"), "x".repeat(BYTES))?;
    make_certificate(&folder)?;
    let port = free_port().map_err(io::Error::other)?;
    let command = match who {
        Contender::Nginx => nginx(&folder, port)?,
        _ => partyrun(places, &folder, port),
    };
    let server = who.spawn(command, Arc::new(project), port)?;
    let url = format!("https://localhost:{port}/asset.bin");
    let began = Instant::now();
    while !h2load(&url, &["-n", "1"]).is_ok_and(|said| said.contains("1 2xx")) {
        if began.elapsed() > START_MAX {
            return Err(io::Error::other(format!("no answer over HTTP/2:\n{}", server.output())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    load(&server, &url, times)
}

fn make_certificate(folder: &Path) -> io::Result<()> {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem"];
    let mut command = Command::new("openssl");
    let names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    command.args(["req", "-x509", "-days", "2", "-out", "cert.pem"]).args(names).args(key);
    let made = command.current_dir(folder).stderr(Stdio::null()).status()?;
    if made.success() { Ok(()) } else { Err(io::Error::other("`openssl` made no certificate")) }
}

fn partyrun(places: &Places, folder: &Path, port: u16) -> Command {
    let mut command = Command::new(&places.partyrun);
    command.args(["start", "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--serve", "public"]);
    command.args(["--persist", "false", "--port", &port.to_string()]).current_dir(folder);
    command
}

fn nginx(folder: &Path, port: u16) -> io::Result<Command> {
    let shown = folder.display();
    // One process serves, as one thread of partyrun's front does on few cores; files are kept open.
    let text = format!(
        "worker_processes 1; daemon off; pid {shown}/nginx.pid; error_log {shown}/nginx.log;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=100;
  server {{ listen 127.0.0.1:{port} ssl http2; root {shown}/public; ssl_protocols TLSv1.3;
    ssl_certificate {shown}/cert.pem; ssl_certificate_key {shown}/key.pem; }} }}
"
    );
    std::fs::write(folder.join("nginx.conf"), text)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(folder.join("nginx.conf")).current_dir(folder);
    Ok(command)
}

fn h2load(url: &str, args: &[&str]) -> io::Result<String> {
    let output = Command::new("h2load").args(args).arg(url).output().map_err(|error| {
        io::Error::other(format!("h2load, of the package nghttp2-client, cannot be run: {error}"))
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

// The load runs a little longer than it is measured: CPU time is read at both ends of the middle.
fn load(server: &Running, url: &str, times: Times) -> io::Result<Throughput> {
    let (url, seconds) = (url.to_string(), times.measure.as_secs().max(1));
    let (duration, warm_up) = (seconds.to_string(), times.warm_up.as_secs().max(1));
    let began = Instant::now();
    let loading = std::thread::spawn(move || {
        let warm = format!("--warm-up-time={warm_up}");
        h2load(&url, &["-D", &duration, &warm, "-c", CONNECTIONS, "-m", STREAMS, "-t", "1"])
    });
    std::thread::sleep(Duration::from_secs(warm_up));
    let (from, before) = (Instant::now(), usage::cpu(server.pid));
    let until = began + Duration::from_secs(warm_up + seconds);
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
    let (wall, cpu) =
        (from.elapsed().as_secs_f64(), usage::cpu(server.pid).saturating_sub(before).as_secs_f64());
    let said = loading.join().unwrap_or_else(|_| Err(io::Error::other("the thread of the load panicked")))?;
    let per_second = said
        .lines()
        .find(|line| line.starts_with("finished in"))
        .and_then(|line| line.split(", ").nth(1)?.strip_suffix(" req/s")?.parse::<f64>().ok())
        .filter(|rate| *rate > 0.0)
        .ok_or_else(|| io::Error::other(format!("h2load counted nothing:\n{said}")))?;
    // How busy h2load was is not known: it has one core of its own.
    Ok(Throughput { per_cpu_second: per_second * wall / cpu.max(0.01), per_second, client_busy: 0.0 })
}
